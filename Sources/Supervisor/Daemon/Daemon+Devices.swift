import Control
import Netlink
import PCI
import Platform

/// Which devices there are, and which of them are ours.
extension Daemon {
  /// Makes sessions for all devices that the configuration names, and starts those that it wants started.
  func adopt(_ assignments: [Assignment], _ devices: [PCIDevice]) {
    for assignment in assignments {
      makeSession(assignment)
    }
    for entry in configuration.entries {
      guard let address = entry.match.address, sessions[address] == nil, configuration.entry(naming: address) != nil
      else { continue }
      let isThere = devices.contains { $0.address == address }
      log.warning("\(entry.location): \(address) is \(isThere ? "not what the entry says" : "not there (yet)")")
      guard !isThere else { continue }
      add(
        DeviceSession(
          absent: address, name: entry.name ?? DeviceEntry.defaultName(address), settings: entry.settings, host: host))
    }
    for session in orderedSessions where session.state == .absent && session.source.isPresent {
      session.controller.appeared()
      startIfWanted(session)
      // Left taken by an earlier supervisor, and not wanted now.
      if session.state == .idle, session.isLeftTaken { session.controller.giveBack() }
    }
  }

  @discardableResult
  func makeSession(_ assignment: Assignment) -> DeviceSession { add(DeviceSession(assignment, host: host)) }

  @discardableResult
  private func add(_ session: DeviceSession) -> DeviceSession {
    session.onAbsent = { [weak self] in self?.departed($0) }
    sessions[session.address] = session
    return session
  }

  /// Ends the daemon if a device of the command line cannot be had: whoever gave it is there and waits.
  func watchStart() {
    for entry in configuration.entries.prefix(loader.emulated.count) {
      guard let address = entry.emulated?.address, let session = sessions[address] else { continue }
      session.whenSettled { [weak self] session in
        guard let self, session.state == .failed || session.state == .refused else { return }
        session.log.error("it cannot be had; bulkheadd ends")
        self.hasFailed = true
        self.loop.after(0) { [weak self] in self?.stopAll() }
      }
    }
  }

  func startIfWanted(_ session: DeviceSession) {
    guard !isStopping, session.assignment?.driver != nil, session.controller.settings.start == .auto else { return }
    session.controller.start()
  }

  func take(_ news: UeventFeed.News) {
    guard !isStopping else { return }
    switch news {
    case .added(let address):
      lookAt(address)
      lookAgain(at: address)
    case .changed(let address): lookAgain(at: address)
    case .removed(let address): sessions[address]?.controller.disappeared()
    case .lost:
      guard let devices = try? host.bus.devices() else { return }
      let present = Set(devices.map(\.address))
      for session in orderedSessions where !present.contains(session.address) && session.source.isGone {
        session.controller.disappeared()
      }
      for address in present.sorted() where sessions[address]?.state ?? .absent == .absent {
        appeared(address, among: devices)
      }
    }
  }

  /// A device has come. Once for each burst of events, of which a card with many functions makes one, the bus is read.
  private func lookAt(_ address: PCIAddress) {
    arrivals.insert(address)
    guard arrivals.count == 1 else { return }
    loop.after(20_000_000) { [weak self] in
      guard let self else { return }
      let addresses = self.arrivals.sorted()
      self.arrivals = []
      guard !self.isStopping else { return }
      do throws(Failure) {
        let devices = try self.host.bus.devices()
        for address in addresses { self.appeared(address, among: devices) }
      } catch { self.log.error("\(error)") }
    }
  }

  /// An event of a device that is not ours: an administrator who has just named it runs `udevadm trigger`. Once for each
  /// burst of events the configuration is read, and where it names a device that it did not, put in force.
  private func lookAgain(at address: PCIAddress) {
    guard sessions[address] == nil, loader.file != nil, !isLookingAgain else { return }
    isLookingAgain = true
    loop.after(300_000_000) { [weak self] in
      guard let self else { return }
      self.isLookingAgain = false
      guard !self.isStopping, let devices = try? self.host.bus.devices() else { return }
      let issues = IssueLog()
      let assignments = self.loader.load(log: issues).assignments(of: devices, log: issues)
      guard issues.isEmpty else {
        return self.log.warning("the configuration has mistakes now, and stays as it was: bulkheadd --check-config")
      }
      if assignments.contains(where: { self.sessions[$0.address] == nil }) { self.reload() }
    }
  }

  private func appeared(_ address: PCIAddress, among devices: [PCIDevice]) {
    guard let device = devices.first(where: { $0.address == address }), !device.isBridge else { return }
    do throws(ConfigurationIssue) {
      guard let assignment = try configuration.assignment(of: device, among: devices) else { return }
      let issues = IssueLog()
      if let driver = assignment.driver { configuration.checkOptions(assignment.entry, driver, log: issues) }
      if let issue = issues.issues.first { throw issue }
      let session = sessions[address] ?? makeSession(assignment)
      // An event of one that was there all the time does not undo a stop.
      let isNew = session.state == .absent
      session.source.update(assignment.hardware)
      session.configure(assignment)
      session.controller.appeared()
      guard isNew, session.state == .idle else { return }
      session.desired = DeviceSession.Desired(assignment.entry.settings)
      startIfWanted(session)
    } catch { log.error("\(error)") }
  }

  /// A device has gone for good, or has come back while it was being cleaned away. The kernel's part of a removal ends
  /// only after ours, so what is still there gets a moment to go.
  private func departed(_ session: DeviceSession) {
    loop.after(2_000_000_000) { [weak self] in
      guard let self, session.state == .absent, self.sessions[session.address] === session else { return }
      if FileText.exists("/sys/bus/pci/devices/\(session.address)") { return self.lookAt(session.address) }
      if self.configuration.entry(naming: session.address) == nil { self.sessions[session.address] = nil }
    }
  }

  /// SIGHUP: reads the configuration anew. With errors the old one stays in force.
  func reload() {
    guard !isStopping else { return }
    notification.send("RELOADING=1\nMONOTONIC_USEC=\(monotonicNow() / 1000)")
    defer { notification.send("READY=1\nSTATUS=\(statusLine)") }
    let issues = IssueLog()
    let emulated = sessions.values.filter { $0.assignment?.entry.emulated != nil }
    let known = Dictionary(emulated.map { ($0.name, $0.address) }, uniquingKeysWith: { first, _ in first })
    let new = loader.load(log: issues, known: known)
    var devices: [PCIDevice] = []
    do throws(Failure) { devices = try presentDevices(new, issues) } catch {
      return log.error("nothing changed: \(error)")
    }
    let assignments = new.assignments(of: devices, log: issues)
    guard issues.isEmpty else {
      for issue in issues.issues { log.error("\(issue)") }
      publish(event("configuration", "not read: it has mistakes, see the log; the former one stays in force"))
      return log.error("the former configuration stays in force", metadata: ["event": "configuration"])
    }
    configuration = new
    reportBrokenDrivers()
    openControlGroups()
    openKernelInterfaces()
    apply(assignments)
    adopt(assignments.filter { sessions[$0.address] == nil }, devices)
    log.notice(
      "configuration read: \(configuration.entries.count) entries", metadata: ["event": "configuration"])
    publish(event("configuration", "read anew"))
  }

  private func apply(_ assignments: [Assignment]) {
    for session in orderedSessions {
      if let assignment = assignments.first(where: { $0.address == session.address }) {
        update(session, assignment)
      } else if session.source.isPresent {
        giveUp(session)
      } else if configuration.entry(naming: session.address) == nil {
        sessions[session.address] = nil
      }
    }
  }

  /// Gives a device back that the configuration names no more; not from under a file system.
  private func giveUp(_ session: DeviceSession) {
    let uses = session.outlet?.uses() ?? []
    guard !uses.isEmpty else {
      session.log.notice("no longer in the configuration")
      return dismiss(session)
    }
    session.isUnwanted = true
    session.tell(
      "configuration", .error,
      "no longer in the configuration, but \(uses.joined(separator: "; ")): it is kept until somebody stops it "
        + "(bulkheadctl stop \(session.name))")
  }

  func update(_ session: DeviceSession, _ assignment: Assignment) {
    let wasHeld = session.desired == .held
    session.configure(assignment)
    if wasHeld, session.desired == .running { startIfWanted(session) }
  }

  /// Stops a device that is not ours any more, and forgets it.
  func dismiss(_ session: DeviceSession, done: @escaping () -> Void = {}) {
    session.desired = .stopped
    stop(session) { [weak self] in
      defer { done() }
      guard let self, session.state.isFree, self.sessions[session.address] === session else { return }
      self.sessions[session.address] = nil
    }
  }

  func event(_ kind: String, _ text: String) -> Service.Event {
    Service.Event(time: WallClock.seconds(), kind: kind, address: "", name: nil, state: nil, text: text)
  }

  /// Stops a device from whatever state, and then calls `done`.
  func stop(_ session: DeviceSession, done: @escaping () -> Void) {
    session.controller.stop()
    session.whenSettled { session in
      // It was not in a state to be stopped from then; it is now. A device that cannot be given back stays failed.
      if !session.state.isFree, session.state != .failed, session.controller.stop() {
        session.whenSettled { _ in done() }
      } else {
        done()
      }
    }
  }

  /// SIGTERM: gives every device back, then ends the loop.
  func stopAll() {
    guard !isStopping else { return }
    isStopping = true
    notification.send("STOPPING=1")
    log.notice("stopping: every device is given back")
    leaving = orderedSessions.filter { !$0.state.isFree }.count
    for session in orderedSessions where !session.state.isFree {
      for use in session.outlet?.uses() ?? [] { session.log.error("\(use) while it is taken away: data may be lost") }
      stop(session) { [weak self] in
        self?.leaving -= 1
        self?.endIfAllIsGivenBack()
      }
    }
    endIfAllIsGivenBack()
  }

  func endIfAllIsGivenBack() {
    if isStopping, leaving == 0, returning.isEmpty { loop.stop() }
  }
}
