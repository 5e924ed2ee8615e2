import CBulkhead
import Glibc
import Platform

/// How a process ended.
struct ProcessEnd: Equatable, Sendable, CustomStringConvertible {
  var status: Int32
  var isKilled: Bool

  var description: String {
    guard isKilled else { return status == 0 ? "it left by itself" : "it left with status \(status)" }
    switch status {
    case SIGKILL: return "it was killed (SIGKILL)"
    case SIGSYS: return "it made a forbidden system call (SIGSYS)"
    case SIGSEGV: return "it crashed (SIGSEGV)"
    case SIGBUS: return "it crashed (SIGBUS)"
    case SIGABRT: return "it aborted (SIGABRT)"
    case SIGILL, SIGTRAP: return "it trapped (signal \(status))"
    default: return "it was ended by signal \(status)"
    }
  }
}

/// A child that was spawned, watched by its pidfd until it ends.
final class ChildProcess {
  let pid: Int32
  private let pidfd: Int32
  private let loop: EventLoop
  private var token: EventLoop.Token?

  /// Status of a child whose user namespace could not be set up (bh_spawn.h).
  static let namespaceStatus: Int32 = 126

  /// What to start.
  struct Specification {
    var executable: String
    var arguments: [String]
    /// `files[i]` becomes file i; -1 leaves it closed.
    var files: [Int32]
    /// An open cgroup v2 directory, or -1.
    var cgroup: Int32 = -1
    var newPIDNamespace = false
    /// The child is root in a user namespace of its own, which outside is the user that we are.
    var newUserNamespace = false
    /// The child is killed when we end, however that may be: without a control group nobody would find it again.
    var diesWithUs = false
    var environment: [String] = []
  }

  /// - Parameter onEnd: called once, from the loop, when the process has ended and was reaped.
  /// - Throws: ``Failure`` `spawn`.
  init(_ specification: Specification, loop: EventLoop, onEnd: @escaping (ProcessEnd) -> Void) throws(Failure) {
    (pid, pidfd) = try ChildProcess.spawn(specification)
    self.loop = loop
    token = loop.watch(pidfd) { [weak self] _ in
      guard let self, let end = self.reap() else { return }
      onEnd(end)
    }
  }

  deinit {
    if let token {
      loop.remove(token)
      // It may have ended unseen.
      _ = ChildProcess.wait(pidfd)
    }
    Descriptor.close(pidfd)
  }

  func kill(_ signal: Int32 = SIGKILL) { _ = bh_pidfd_send_signal(pidfd, signal) }

  private func reap() -> ProcessEnd? {
    guard let end = ChildProcess.wait(pidfd) else { return nil }
    if let token { loop.remove(token) }
    token = nil
    return end
  }

  private static func wait(_ pidfd: Int32) -> ProcessEnd? {
    var code: Int32 = 0
    var killed: Int32 = 0
    let result = bh_pidfd_wait(pidfd, &code, &killed)
    if result == 0 { return nil }
    // Reaped by somebody else: it is gone all the same.
    if result < 0 { return ProcessEnd(status: -1, isKilled: false) }
    return ProcessEnd(status: code, isKilled: killed != 0)
  }

  /// Runs a short-lived program to its end, at most ten seconds.
  /// - Returns: how it ended; nil if it had to be killed.
  static func run(_ executable: String, _ arguments: [String]) throws(Failure) -> ProcessEnd? {
    let (_, pidfd) = try spawn(
      Specification(executable: executable, arguments: [executable] + arguments, files: [-1, 2, 2]))
    defer { Descriptor.close(pidfd) }
    var poll = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
    if bh_ppoll(&poll, 1, 10_000_000_000) <= 0 {
      _ = bh_pidfd_send_signal(pidfd, SIGKILL)
      _ = bh_ppoll(&poll, 1, 1_000_000_000)
      _ = wait(pidfd)
      return nil
    }
    return wait(pidfd)
  }

  private static let userNamespaceHint =
    "without root, drivers are jailed by user namespaces, which some systems switch off: see the sysctls "
    + "user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"

  private static let namespaceHint = "in a container, bulkheadd needs CAP_SYS_ADMIN, or to be started by another user"

  private static func spawn(_ specification: Specification) throws(Failure) -> (pid: Int32, pidfd: Int32) {
    let executable = try FileText.open(specification.executable, "spawn", hint: "is Bulkhead installed completely?")
    var arguments: [UnsafeMutablePointer<CChar>?] = specification.arguments.map { strdup($0) } + [nil]
    var environment: [UnsafeMutablePointer<CChar>?] = specification.environment.map { strdup($0) } + [nil]
    defer { for pointer in arguments + environment { free(pointer) } }
    var pidfd: Int32 = -1
    let pid = arguments.withUnsafeMutableBufferPointer { argv in
      environment.withUnsafeMutableBufferPointer { envp in
        specification.files.withUnsafeBufferPointer { files in
          var spec = bh_spawn(
            executable: executable.number, argv: argv.baseAddress, envp: envp.baseAddress, files: files.baseAddress,
            file_count: UInt32(files.count), cgroup: specification.cgroup,
            new_pid_namespace: specification.newPIDNamespace ? 1 : 0,
            new_user_namespace: specification.newUserNamespace ? 1 : 0,
            die_with_parent: specification.diesWithUs ? 1 : 0)
          return bh_spawn(&spec, &pidfd)
        }
      }
    }
    try checked(
      pid, "spawn", "start \(specification.executable)",
      hint: specification.newUserNamespace
        ? Self.userNamespaceHint : specification.newPIDNamespace ? Self.namespaceHint : "")
    return (pid, pidfd)
  }
}
