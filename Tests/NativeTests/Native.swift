import Campaign
import Foundation
import Glibc
import NBDClient
import Platform

/// Who a daemon of these tests runs as.
enum Standing: String, CaseIterable, Sendable {
  case root, unprivileged

  /// What this machine lets us try.
  static var possible: [Standing] {
    guard getuid() == 0 else { return [.unprivileged] }
    return NativeBuild.isReadableByNobody ? [.root, .unprivileged] : [.root]
  }

  /// The one that tests use for which it makes no difference.
  static var usual: Standing { getuid() == 0 ? .root : .unprivileged }
}

/// The executables under test, beside the test bundle.
enum NativeBuild {
  static let folder: String = {
    let executable = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let folder = (executable as NSString).deletingLastPathComponent
    return ProcessInfo.processInfo.environment["BULKHEAD_BUILD"] ?? folder
  }()

  static func path(_ name: String) -> String { "\(folder)/\(name)" }

  /// uid 65534, as which the unprivileged tests run, where these tests run as root.
  static let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

  static let isReadableByNobody: Bool = {
    (try? Command.run(nobody + ["test", "-x", path("bulkheadd")]).status) == 0
  }()
}

/// A process that is run to its end.
struct Command {
  var status: Int32
  var output: String

  static func run(_ words: [String]) throws -> Command {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Command(status: process.terminationStatus, output: String(decoding: data, as: UTF8.self))
  }
}

/// A `bulkheadd` with one emulated device, in a folder of its own.
final class Native {
  struct Trouble: Error, CustomStringConvertible {
    var description: String
  }

  let folder: String
  /// What the device is called.
  let device: String
  private let process = Process()
  private(set) var exitStatus: Int32?

  /// The policy of most tests: restarts at once and without limit, heartbeats that notice within a second.
  static let patient = """
    restart = { delay = "1ms", max-delay = "10ms", burst = 0 }
    heartbeat = { interval = "100ms", timeout = "1s", start = "5s" }
    violations = { tolerate = 3, then = "restart" }
    options = { timeout-ms = "200" }
    """

  /// Starts it with an emulated disk, called `disk`, and returns when that is served; with `waits` false, when it answers.
  /// - Parameters:
  ///   - emulation: what follows `nvme,`.
  ///   - policy: further lines of the device's entry.
  convenience init(
    _ emulation: String = "size=4M", policy: String = Native.patient, as standing: Standing = .usual, waits: Bool = true
  ) throws {
    try self.init(
      device: "disk", entry: "emulated = \"nvme,\(emulation)\"\n\(policy)", as: standing, waits: waits)
  }

  /// - Parameters:
  ///   - entry: the lines of the device's entry, without its name.
  ///   - words: what runs it, if something does.
  init(
    device: String, entry: String, through words: [String] = [], as standing: Standing = .usual, waits: Bool = true
  ) throws {
    self.device = device
    var template = Array("/tmp/native-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Trouble(description: "no temporary folder") }
    folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let configuration = """
      [[device]]
      name = "\(device)"
      \(entry)
      """
    try configuration.write(toFile: "\(folder)/bulkhead.toml", atomically: true, encoding: .utf8)
    var words =
      words + [
        NativeBuild.path("bulkheadd"), "--config", "\(folder)/bulkhead.toml", "--runtime-dir", "\(folder)/run",
      ]
    if standing == .unprivileged, getuid() == 0 {
      words = NativeBuild.nobody + words
      chown(folder, 65534, 65534)
    }
    chmod(folder, 0o755)
    _ = FileManager.default.createFile(atPath: "\(folder)/log", contents: nil)
    let log = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(folder)/log"))
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.standardOutput = log
    process.standardError = log
    process.standardInput = FileHandle.nullDevice
    try process.run()
    try eventually("an answer") { try self.status() != nil }
    if waits { try eventually("a device that serves") { try self.status()?.state == "running" } }
  }

  deinit {
    if exitStatus == nil { _ = stop() }
    try? FileManager.default.removeItem(atPath: folder)
  }

  /// The last lines of its log.
  var log: String {
    let text = (try? String(contentsOfFile: "\(folder)/log", encoding: .utf8)) ?? ""
    return text.split(separator: "\n").suffix(25).joined(separator: "\n")
  }
  var control: String { "\(folder)/run/io.bulkhead" }
  var socket: String { "\(folder)/run/nbd/disk.sock" }
  var pid: pid_t { process.processIdentifier }

  /// SIGTERM.
  /// - Returns: the exit status; -1 after half a minute and a SIGKILL.
  func stop() -> Int32 {
    kill(process.processIdentifier, SIGTERM)
    let deadline = monotonicNow() + 30_000_000_000
    while process.isRunning, monotonicNow() < deadline { usleep(2000) }
    if process.isRunning {
      kill(process.processIdentifier, SIGKILL)
      exitStatus = -1
      return -1
    }
    exitStatus = process.terminationStatus
    return process.terminationStatus
  }

  /// nil while nobody answers.
  func status() throws -> DeviceStatus? {
    guard process.isRunning else { throw Trouble(description: "bulkheadd has ended:\n\(log)") }
    do { return try StatusClient(socket: control, device: device).askAndWait() } catch {
      guard error.code == "socket-connect" else { throw error }
      return nil
    }
  }

  /// `bulkheadctl`.
  @discardableResult
  func control(_ verb: String, _ words: String...) throws -> Command {
    try Command.run([NativeBuild.path("bulkheadctl"), verb, "--socket", control] + words)
  }

  /// Waits until something is so, half a minute at most.
  func eventually(_ what: String, _ condition: () throws -> Bool) throws {
    let deadline = monotonicNow() + 30_000_000_000
    while try !condition() {
      guard monotonicNow() < deadline else { throw Trouble(description: "waited in vain for \(what):\n\(log)") }
      usleep(5000)
    }
  }

  /// Runs a campaign on the disk.
  func campaign(
    seed: UInt64 = 11, connections: Int = 2, attacks: [Assailant.Attack: Int] = [:], gap: Int = 100,
    _ adjust: (inout CampaignOptions) -> Void = { _ in }
  ) throws -> CampaignResult {
    var options = CampaignOptions()
    options.seed = seed
    options.range = 4 << 20
    options.operations = 800
    options.deadline = 20_000_000_000
    adjust(&options)
    let target = try NBDTarget(socket: socket, name: "", connections: connections)
    let assailant = Assailant(
      client: StatusClient(socket: control, device: "disk"), attacks: attacks, gap: gap, seed: seed,
      deadline: options.deadline)
    let campaign = try Campaign(
      options, target: target, canForceUnitAccess: target.canForceUnitAccess, assailant: assailant, report: { _ in })
    var failure: Failure?
    do { try campaign.run() } catch { failure = error }
    return CampaignResult(summary: campaign.summary, failure: failure)
  }
}

struct CampaignResult {
  var summary: CampaignSummary
  var failure: Failure?

  /// No wrong data, no error that was not allowed, no hang.
  var isRight: Bool { failure == nil && summary.violationCount == 0 }
  var description: String { summary.json(seed: 0, failure: failure) }
}
