import Control
import Glibc
import Netlink
import PCI
import Platform

/// What an earlier supervisor that did not end in order has left behind.
extension Daemon {
  /// Cleans up. What is configured keeps its record and its block devices, and is taken up by its session; everything else
  /// is given back.
  func recover(_ assignments: [Assignment]) {
    host.files.forgetAll(except: Set(assignments.map(\.address)))
    if let groups = host.groups { endProcesses(in: groups) }
    for record in host.state.loadAll() where !assignments.contains(where: { $0.address == record.address }) {
      log.notice("an earlier supervisor left \(record.address) behind; giving it back")
      giveBack(record)
    }
  }

  private func endProcesses(in groups: ControlGroups) {
    for name in groups.leftovers() { groups.remove(name) }
  }

  private func giveBack(_ record: StateRecord) {
    for unit in record.units {
      if let link = unit.link { FileText.remove(link) }
      do throws(Failure) { try NBDControl().disconnect(index: unit.nbd) } catch { log.warning("\(error)") }
    }
    if let interface = record.interface {
      do throws(Failure) { try NetworkInterface.delete(interface) } catch { log.warning("\(error)") }
    }
    guard !record.bindings.isEmpty else { return host.state.remove(record.address) }
    returning.insert(record.address)
    host.bindings.submit(
      BindingOrder(.release, record.bindings), slow: { [weak self] in self?.log.warning("\($0)") },
      done: { [weak self] in self?.returned(record.address, $0) })
  }

  private func returned(_ address: PCIAddress, _ answer: BindingAnswer) {
    for binding in answer.records {
      log.info("given back: \(binding.address) (\(binding.formerDriver ?? "no driver"))")
    }
    for failure in answer.failures { log.error("\(failure)") }
    // Somebody may have attached it meanwhile; then the record is that session's.
    if answer.failures.isEmpty, sessions[address] == nil { host.state.remove(address) }
    returning.remove(address)
    tellIfReady()
    endIfAllIsGivenBack()
  }

  /// Those on which nobody listens any more. To ask systemd's by a connection would start the next supervisor.
  private func removeSockets() {
    let bound = (FileText.contents("/proc/net/unix") ?? "").split(separator: "\n").compactMap { line in
      line.split(separator: " ", maxSplits: 7).last
    }
    let folder = host.paths.outletSockets
    let outlets = FileText.names(in: folder).filter { $0.hasSuffix(".sock") }.map { "\(folder)/\($0)" }
    for path in outlets + [host.paths.service] where !bound.contains(path[...]) { FileText.remove(path) }
  }

  /// Gives back everything that an earlier supervisor has left, and serves nothing: for when none can start any more.
  /// - Parameter force: disks too that are in use.
  /// - Returns: the process's exit status: 0 when nothing is left.
  public func giveBackAll(force: Bool) -> Int32 {
    umask(0o022)
    signal(SIGPIPE, SIG_IGN)
    do throws(Failure) {
      guard host.isPrivileged else {
        throw Failure("not-root", "give devices back without being root", hint: "run it as root")
      }
      try makeFolders()
      try takeLock()
      let records = host.state.loadAll()
      let uses = records.flatMap(\.units).flatMap { OutletUse().uses(of: "nbd\($0.nbd)") }
      guard uses.isEmpty || force else {
        for use in uses { log.error("\(use)") }
        throw Failure(
          "in-use", "take away what is in use; nothing was touched",
          hint: "unmount it first; or --force, and lose what is not written yet")
      }
      // It may have been the unit's or another one. What had no control group has ended with its bulkheadd.
      let unit = host.paths.runtime == RuntimeFolder.system ? ControlGroups.ofUnit : nil
      for place in [host.paths.controlGroup, unit, nil] {
        guard let groups = try? ControlGroups(runtime: host.paths.runtime, given: place) else { continue }
        endProcesses(in: groups)
        groups.removeBase()
      }
      isStopping = true
      recover([])
      endIfAllIsGivenBack()
      if !returning.isEmpty { try loop.run() }
      removeSockets()
      let left = host.state.loadAll().map { "\($0.address)" }
      guard left.isEmpty else {
        throw Failure(
          "pci-release", "give \(left.joined(separator: ", ")) back", hint: "see above; a reboot does it, too")
      }
      log.notice("\(records.count) device\(records.count == 1 ? " was" : "s were") given back")
      return 0
    } catch {
      log.critical("\(error)")
      return 1
    }
  }
}
