import CBulkhead
import Glibc
import Platform
import Protocol

/// `bulkhead-jail`, from its first instruction to the driver's.
public enum Launch {
  /// The driver's executable, as the supervisor leaves it to the jail.
  static let executable: Int32 = 4

  /// The driver's whole environment. Without it the static Swift runtime looks for itself in /proc and aborts.
  static let environment = ["SWIFT_ROOT=/"]

  /// How much sooner than others the kernel's OOM killer takes a driver (-1000 to 1000): it can be replaced.
  static let outOfMemoryScore = 500

  /// Takes the grant, confines the process, and becomes the driver.
  /// - Returns: never, but for the error.
  /// - Throws: ``Failure`` with the code of a ``ConfinementStep``.
  public static func run(_ arguments: JailArguments) throws(Failure) -> Never {
    let (grant, received) = try awaitGrant()
    var files = try OpenFiles(grant, files: received)
    try files.place(executable: executable)
    try ProcFile.write("\(outOfMemoryScore)", to: "/proc/self/oom_score_adj", ConfinementStep.limits.code)
    // A session of its own: no controlling terminal, no signals for the supervisor's process group. It fails only if
    // the process leads one already.
    _ = setsid()
    umask(0o077)

    let policy = SeccompPolicy.driver(
      mapping: grant.bars, hasBell: grant.fileNumbers.contains(UInt8(DriverFile.bell)))
    var confinement =
      arguments.user.map { Confinement(user: $0, group: $0, policy: policy) } ?? Confinement(unprivileged: policy)
    confinement.hostname = arguments.hostname
    confinement.limits = .driver(lockedMemory: arguments.lockedMemory, addressSpace: arguments.addressSpace)
    confinement.executable = DriverFile.executable
    try confinement.enter()
    throw execute(arguments.driver)
  }

  /// Waits for the broker's launch message, for as long as the broker holds its end of the control socket.
  private static func awaitGrant() throws(Failure) -> (LaunchGrant, [Int32]) {
    let code = ConfinementStep.grant.code
    let channel = ControlChannel<JailMessage, JailMessage>(socket: DriverFile.control)
    while true {
      var file = pollfd(fd: DriverFile.control, events: Int16(POLLIN), revents: 0)
      let ready = bh_ppoll(&file, 1, -1)
      if ready == -EINTR { continue }
      try checked(ready, code, "wait for the launch grant")
      let reception: ControlChannel<JailMessage, JailMessage>.Reception
      do throws(Failure) { reception = try channel.receive() } catch {
        throw Failure(code, error.step, errno: error.errno, hint: "file 3 must be the driver's control socket")
      }
      switch reception {
      case .message(let envelope, let files):
        switch envelope.message {
        case .launch(let grant): return (grant, files)
        }
      case .malformed(let error): throw Failure(code, "understand the launch grant: \(error)")
      case .closed: throw Failure(code, "receive the launch grant: the broker is gone", errno: ECONNRESET)
      case .empty: continue
      }
    }
  }

  private static func execute(_ driver: [String]) -> Failure {
    var argv: [UnsafeMutablePointer<CChar>?] = driver.map { strdup($0) } + [nil]
    var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    let result = bh_exec_file(DriverFile.executable, &argv, &envp)
    let hint =
      switch -result {
      case EACCES: "the file must be readable and executable for others, on a mount without noexec"
      case ENOENT, ELIBBAD: "the driver must be a static executable; there is no dynamic linker in the jail"
      case ENOEXEC: "the driver must be an ELF executable of this machine"
      case ENOMEM, EAGAIN: "raise the address-space limit, or the cgroup's memory and pids"
      default: ""
      }
    return Failure(ConfinementStep.exec.code, "execute \(driver[0])", errno: -result, hint: hint)
  }
}

extension Failure {
  /// The failure as one line, `CODE: STEP: ERRNO TEXT (HINT)`, for a log that goes by lines.
  public var line: String {
    var text = "\(code): \(step)"
    if errno != 0 { text += ": \(Failure.name(of: errno)) \(String(cString: strerror(errno)))" }
    if !hint.isEmpty { text += " (\(hint))" }
    return text
  }
}
