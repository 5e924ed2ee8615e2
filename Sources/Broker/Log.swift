import CBulkhead
import Glibc

/// Lines for people, on file 2: `level: message`. The supervisor adds the device's name and passes them on.
public enum Log {
  public enum Level: String, Sendable { case error, warning, info, debug }

  /// Makes file 2 drop lines instead of stopping the process where nobody reads them: a full log must not stop a disk.
  public static func neverWait() {
    if bh_is_pipe(2) == 1 { _ = bh_set_nonblocking(2, 1) }
  }

  public static func error(_ message: String) { write(.error, message) }
  public static func warning(_ message: String) { write(.warning, message) }
  public static func info(_ message: String) { write(.info, message) }
  public static func debug(_ message: String) { write(.debug, message) }

  /// One write for a whole line, so that lines do not mix. A message of several lines is joined with `; `.
  private static func write(_ level: Level, _ message: String) {
    let joined = message.split(separator: "\n").joined(separator: "; ")
    let line = "\(level.rawValue): \(joined)\n"
    _ = line.utf8.withContiguousStorageIfAvailable { Glibc.write(2, $0.baseAddress, $0.count) }
  }
}
