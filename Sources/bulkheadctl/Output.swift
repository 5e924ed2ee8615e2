import ArgumentParser
import Glibc

/// Standard output: whoever reads it gets all of it, or is told that it is not all.
enum Output {
  /// The first error of ``emit(_:)``.
  private nonisolated(unsafe) static var failure: Int32?

  /// Standard streams that are closed are opened so that nothing can be read from them or written to them. Otherwise the
  /// next file, such as the connection to bulkheadd, would be one of them.
  static func prepare() {
    for stream in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(stream, F_GETFD) < 0 {
      _ = open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  /// Writes all of a text at once, also into a pipe.
  /// - Returns: whether it was written; if not, the status will be 1, and there is no use in going on.
  @discardableResult static func emit(_ text: String) -> Bool {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else {
        if failure == nil { failure = written < 0 ? errno : EIO }
        return false
      }
      rest = rest.dropFirst(written)
    }
    return true
  }

  /// Ends the program. Where something was not written, that is said, and the status is 1 if it would have been 0; a reader
  /// that wanted no more is no such case, as with SIGPIPE where that is not ignored.
  static func end(_ code: ExitCode) -> Never {
    guard let failure, failure != EPIPE else { exit(code.rawValue) }
    writeError("bulkheadctl: standard output: \(String(cString: strerror(failure)))")
    exit(code.isSuccess ? ExitStatus.failed.rawValue : code.rawValue)
  }
}

/// In the place of the standard library's, which does not say whether a text was written.
func print(_ text: String, terminator: String = "\n") { Output.emit(text + terminator) }
