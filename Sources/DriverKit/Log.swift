import CBulkhead
import Glibc

/// Lines for people, on the log pipe: `level: text`. The supervisor adds the device and passes them on.
///
/// A line that the pipe has no room for is dropped and counted: a log must never stop a driver.
public enum Log {
  public enum Level: String, Sendable { case error, warning, info, debug }

  /// A pipe takes this much at once or says that it is not ready (POSIX `PIPE_BUF`, Linux 4096).
  private static let longestLine = 1024

  public static func error(_ text: String) { write(.error, text) }
  public static func warning(_ text: String) { write(.warning, text) }
  public static func info(_ text: String) { write(.info, text) }
  public static func debug(_ text: String) { write(.debug, text) }

  /// Writes one line; line breaks in `text` become spaces, and what is too long is cut.
  public static func write(_ level: Level, _ text: String, to file: Int32 = DriverFile.log) {
    var line = Array("\(level.rawValue): ".utf8)
    line.append(contentsOf: text.utf8.lazy.map { $0 < 0x20 ? 0x20 : $0 }.prefix(longestLine))
    line.append(UInt8(ascii: "\n"))
    guard Descriptor.hasRoom(file) else { return }
    _ = Glibc.write(file, line, line.count)
  }
}

/// Lets through so many lines in a period and counts the others: a broken device must not fill a disk with its errors.
public struct LogLimit {
  private let lines: Int
  private let period: Nanoseconds
  private var left: Int
  private var renewal: Nanoseconds = 0
  /// Lines held back since the last one that was let through.
  public private(set) var suppressed = 0

  /// - Parameter period: nanoseconds.
  public init(lines: Int = 10, period: Nanoseconds = 10_000_000_000) {
    self.lines = lines
    self.period = period
    left = lines
  }

  /// Whether a line may be written at `now`; a line that may not is counted.
  public mutating func permits(at now: Nanoseconds = monotonicNow()) -> Bool {
    if now >= renewal {
      renewal = now + period
      left = lines
    }
    guard left > 0 else {
      suppressed += 1
      return false
    }
    left -= 1
    return true
  }

  /// ` (n more like this)` once after lines were held back, otherwise nothing.
  public mutating func remark() -> String {
    defer { suppressed = 0 }
    return suppressed == 0 ? "" : " (\(suppressed) more were not logged)"
  }
}
