import CBulkhead
import Glibc
import Jail
import Platform
import Protocol

/// Jails are made of things that only root may do.
let isRoot = getuid() == 0
let needsRoot = "needs root: a jail begins with privileges that it then gives up"

/// The folder of the built executables: the test runner's own.
private let buildFolder: String = {
  var path = [CChar](repeating: 0, count: 4096)
  let length = readlink("/proc/self/exe", &path, path.count - 1)
  let executable = String(decoding: path.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  return String(executable[..<(executable.lastIndex(of: "/") ?? executable.endIndex)])
}()

/// A process that was spawned as the supervisor spawns a jail, with the test in place of supervisor and broker.
///
/// Its standing is that of a driver with all kinds of files: rings, arena, payload, a memfd in place of the VFIO device
/// file, interrupts 0 and 24, and queue 0.
final class JailedProcess {
  static let user: UInt32 = 3_000_000_017
  static let granted = [
    BarRange(bar: 0, offset: 0, length: 0x2000, fileOffset: 0x2000),
    BarRange(bar: 0, offset: 0x6000, length: 0x1000, fileOffset: 0x8000),
  ]
  static let files: [Int32] = [4, 5, 6, 7, 16, 40, 64, 96]

  let pid: Int32
  private let pidfd: Int32
  private let log: Int32
  private var control: Int32
  private var collected = ""
  private var status: Int32?

  /// - Parameters:
  ///   - jailed: false runs the probe itself, as root, with the same files.
  ///   - unprivileged: the spawner is not root: another user in a thread of its own, if the test is.
  init(
    _ probeArguments: [String], options: [String] = ["--uid", "\(JailedProcess.user)"], jailed: Bool = true,
    unprivileged: Bool = false, executable: String = "JailProbe", extraFile: Bool = false
  ) throws {
    var pipe: (Int32, Int32) = (-1, -1)
    let ends = try PacketSocket.pair()
    let made = withUnsafeMutablePointer(to: &pipe) {
      $0.withMemoryRebound(to: Int32.self, capacity: 2) { Glibc.pipe($0) }
    }
    try checked(made, "pipe", "create a log pipe")
    let driver = Descriptor(
      owning: try Self.open(executable.contains("/") ? executable : "\(buildFolder)/\(executable)"))
    let jail = Descriptor(owning: try Self.open("\(buildFolder)/bulkhead-jail"))
    control = ends.0
    log = pipe.0
    let files = try GrantedFiles()
    let arguments: [String]
    var inherited: [Int32]
    if jailed {
      arguments = ["bulkhead-jail"] + (unprivileged ? ["--unprivileged"] : options) + ["--", "probe"] + probeArguments
      inherited = [-1, -1, pipe.1, ends.1, driver.number]
      // A file that the supervisor forgot to close.
      if extraFile { inherited += [-1, -1, -1, driver.number, pipe.0] }
    } else {
      arguments = ["probe"] + probeArguments
      inherited = [Int32](repeating: -1, count: 64)
      inherited[2] = pipe.1
      inherited[3] = ends.1
      for (number, file) in zip(Self.files, files.numbers) where number < 64 { inherited[Int(number)] = file }
    }
    let started = jailed ? jail.number : driver.number
    (pid, pidfd) =
      unprivileged
      ? try AnotherUser.run { try Self.spawn(started, arguments, inherited, inUserNamespace: true) }
      : try Self.spawn(started, arguments, inherited, inUserNamespace: false)
    close(pipe.1)
    close(ends.1)
    if jailed { try grant(files.numbers) }
  }

  deinit {
    bh_pidfd_send_signal(pidfd, SIGKILL)
    _ = exitStatus
    for file in [pidfd, log, control] where file >= 0 { close(file) }
  }

  private func grant(_ files: [Int32]) throws {
    let message = JailMessage.launch(LaunchGrant(fileNumbers: Self.files.map { UInt8($0) }, bars: Self.granted))
    let channel = ControlChannel<JailMessage, JailMessage>(socket: control)
    // A jail that is gone already says why on the log and in its exit status.
    do throws(Failure) { try channel.send(message, files: files) } catch {
      guard error.errno == EPIPE || error.errno == ECONNRESET else { throw error }
    }
  }

  /// What the process wrote to its log, up to `ready` or to its end.
  func readLog() -> [String] {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while !collected.hasSuffix("ready\n") {
      let got = read(log, &buffer, buffer.count)
      if got <= 0 { break }
      collected += String(decoding: buffer[..<got], as: UTF8.self)
    }
    return collected.split(separator: "\n").map(String.init)
  }

  /// Closes the broker's end of the control socket, which ends the probe.
  func hangUp() {
    close(control)
    control = -1
  }

  /// The status of waitpid(2); waits for the end.
  var exitStatus: Int32 {
    if let status { return status }
    var result: Int32 = 0
    while waitpid(pid, &result, 0) < 0, errno == EINTR {}
    status = result
    return result
  }

  private static func open(_ path: String) throws(Failure) -> Int32 {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Failure("test", "open \(path)", errno: errno, hint: "swift build --build-tests") }
    return file
  }

  private static func spawn(
    _ executable: Int32, _ arguments: [String], _ files: [Int32], inUserNamespace: Bool
  ) throws(Failure) -> (Int32, Int32) {
    let argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    let envp: [UnsafeMutablePointer<CChar>?] = [strdup("SWIFT_ROOT=/"), strdup("SECRET=of the supervisor"), nil]
    defer { for text in argv + envp { free(text) } }
    var pidfd: Int32 = -1
    let pid = argv.withUnsafeBufferPointer { argv in
      envp.withUnsafeBufferPointer { envp in
        files.withUnsafeBufferPointer { files in
          var spec = bh_spawn(
            executable: executable, argv: argv.baseAddress, envp: envp.baseAddress, files: files.baseAddress,
            file_count: UInt32(files.count), cgroup: -1, new_pid_namespace: 1,
            new_user_namespace: inUserNamespace ? 1 : 0, die_with_parent: 0)
          return bh_spawn(&spec, &pidfd)
        }
      }
    }
    return (try checked(pid, "spawn", "spawn \(arguments[0])"), pidfd)
  }
}

/// Files like a broker's, closed when the grant is sent.
private struct GrantedFiles: ~Copyable {
  let rings, arena, payload, device: SharedMemory
  let interrupt0, interrupt24, kick, call: Descriptor

  init() throws(Failure) {
    // Into locals first: a value that cannot be copied is made whole or not at all.
    let rings = try SharedMemory(name: "rings", size: 16384)
    let arena = try SharedMemory(name: "arena", size: 16384)
    let payload = try SharedMemory(name: "payload", size: 16384)
    let device = try SharedMemory(name: "device", size: 65536)
    let interrupt0 = try EventDescriptor.make()
    let interrupt24 = try EventDescriptor.make()
    let kick = try EventDescriptor.make()
    let call = try EventDescriptor.make()
    self.rings = rings
    self.arena = arena
    self.payload = payload
    self.device = device
    self.interrupt0 = interrupt0
    self.interrupt24 = interrupt24
    self.kick = kick
    self.call = call
  }

  /// In the order of `JailedProcess.files`.
  var numbers: [Int32] {
    [
      rings.file.number, arena.file.number, payload.file.number, device.file.number, interrupt0.number,
      interrupt24.number, kick.number, call.number,
    ]
  }
}
