import ArgumentParser
import Control
import Glibc

/// The exit statuses of `bulkheadctl`; documented in its help, do not change them. Wrong arguments are 64
/// (EX_USAGE of sysexits(3)), from the argument parser.
enum ExitStatus: Int32 {
  case failed = 1
  case noSuchDevice = 3
  case noPermission = 4
  case unreachable = 5
  case refused = 6
  /// As bulkheadd's own (EX_CONFIG of sysexits(3)).
  case configuration = 78

  var code: ExitCode { ExitCode(rawValue) }
}

/// Writes a line to standard error.
func writeError(_ text: String) {
  let bytes = Array((text + "\n").utf8)
  _ = write(STDERR_FILENO, bytes, bytes.count)
}

extension VarlinkClient.Problem {
  /// Nobody is there now; somebody may be again. Whom it does not let in, it may answer others: that is none.
  var isAbsence: Bool {
    switch self {
    case .unreachable(_, let errno): errno != EACCES && errno != EPERM
    // It ended before it answered, as with a configuration that is wrong: systemd has taken the call for it.
    case .disconnected: true
    case .timedOut, .unintelligible, .service, .other: false
    }
  }

  /// Says what went wrong and what to do, and gives the exit status for it.
  func report() -> ExitCode {
    let (status, message, hint) = explanation
    writeError("bulkheadctl: \(message)")
    if case .service(let error) = self, !error.issues.isEmpty {
      for issue in error.issues { writeError(String(issue.text.dropLast())) }
    } else if case .service(let error) = self, error.reasons.count > 1 {
      for reason in error.reasons {
        writeError("  \(reason.code): \(reason.message)")
        if !reason.hint.isEmpty { writeError("    Hint: \(reason.hint)") }
      }
    } else if !hint.isEmpty {
      writeError("Hint: \(hint)")
    }
    return status.code
  }

  private var explanation: (ExitStatus, String, String) {
    switch self {
    case .unreachable(let socket, let errno) where errno == EACCES || errno == EPERM:
      return (.noPermission, "\(socket) may not be opened", "run the command as root, or join the group bulkhead")
    case .unreachable(let socket, let errno):
      return (
        .unreachable, "bulkheadd does not answer at \(socket): \(String(cString: strerror(errno)))",
        "start it: systemctl start bulkhead; or name its socket with --socket"
      )
    case .disconnected: return (.unreachable, "bulkheadd closed the connection", "see its log: journalctl -u bulkhead")
    case .timedOut(let seconds):
      return (
        .unreachable, "bulkheadd has not answered for \(seconds) s", "see its log: journalctl -u bulkhead"
      )
    case .unintelligible(let text):
      return (.failed, "the answer is not understood: \(text)", "are all parts of one version?")
    case .other(let name): return (.failed, "bulkheadd answered \(name)", "are all parts of one version?")
    case .service(let error):
      switch error.name {
      case .noSuchDevice, .notConfigured: return (.noSuchDevice, error.message, error.hint)
      case .permissionDenied: return (.noPermission, error.message, error.hint)
      case .refused, .inUse: return (.refused, error.message, error.hint)
      case .invalidConfiguration: return (.configuration, error.message, error.hint)
      case .invalidState, .failed, .alreadyAttached, .noSuchDriver, .invalidName:
        return (.failed, error.message, error.hint)
      }
    }
  }
}
