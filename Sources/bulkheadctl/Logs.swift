import ArgumentParser
import Control
import Glibc
import PCI

struct Logs: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What the journal has about a device: its driver's and broker's lines, and what bulkheadd did.",
    discussion: """
      Runs journalctl with a match for the device. Without bulkheadd a device is known by its address, and by the name \
      that it had. To read the system's journal takes root or the group systemd-journal or adm.
      """)

  @OptionGroup var options: GlobalOptions

  @Flag(name: .shortAndLong, help: "Print what comes until interrupted.")
  var follow = false

  @Option(name: [.customShort("n"), .long], help: "So many of the latest lines, or all.")
  var lines: String?

  // A time may begin with a hyphen.
  @Option(
    parsing: .unconditional,
    help: "From then on: \"2026-11-21 14:00\", yesterday, -1h, as systemd.time(7) has it.")
  var since: String?

  @Argument(help: "Address or name.", completion: .device)
  var device: String

  func validate() throws {
    if let lines, lines != "all", Int(lines).map({ $0 < 0 }) ?? true {
      throw ValidationError("--lines is a number or all, not '\(lines)'")
    }
    if let since, since.isEmpty { throw ValidationError("--since needs a time") }
    if device.isEmpty || device.contains("\n") { throw ValidationError("'\(device)' is no address or name") }
  }

  func run() throws {
    var query = JournalQuery(try subject())
    query.follow = follow
    query.lines = lines
    query.since = since
    query.json = options.json
    try checkAccess()
    let arguments = query.arguments
    var words = arguments.map { strdup($0) } + [nil]
    execvp(arguments[0], &words)
    let error = errno
    writeError("bulkheadctl: journalctl cannot be run: \(String(cString: strerror(error)))")
    if error == ENOENT {
      writeError(
        "Hint: the log is in the journal only where systemd runs; else bulkheadd writes it to its standard error")
    }
    throw ExitStatus.failed.code
  }

  private func subject() throws -> JournalQuery.Subject {
    do throws(VarlinkClient.Problem) {
      let reply: Service.DevicesReply = try VarlinkClient(socket: options.socket)
        .call(.status, Service.DeviceParameters(device: device))
      if let found = reply.devices.first { return .device(found.address) }
    } catch {
      switch error {
      // Its records stay when the daemon is gone, or has nothing to do with the device any more.
      case .unreachable, .disconnected: break
      case .service(let refusal) where refusal.name == .notConfigured: break
      default: throw error.report()
      }
    }
    if let address = PCIAddress(device) { return .device("\(address)") }
    return .name(device)
  }

  /// journalctl would only say that there are no entries.
  private func checkAccess() throws {
    // A user's own daemon logs into the user's own journal.
    let isOwn = geteuid() != 0 && options.socket == RuntimeFolder.serviceSocket(in: RuntimeFolder.standard)
    guard !isOwn, JournalAccess.find() == .denied else { return }
    writeError("bulkheadctl: the system's journal may not be read")
    writeError("Hint: run the command as root, or join the group systemd-journal")
    throw ExitStatus.noPermission.code
  }
}
