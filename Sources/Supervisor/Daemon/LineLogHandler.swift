import Glibc
import Logging
import Platform

/// Writes lines to standard error: for journald with the level in front (sd-daemon(3)), for people with the time. What has no
/// room there is dropped.
public struct LineLogHandler: LogHandler {
  public var logLevel: Logger.Level
  public var metadata: Logger.Metadata = [:]
  private let isJournal: Bool

  public init(level: Logger.Level) {
    logLevel = level
    isJournal = JournalLogHandler.isConnected
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    write(level: event.level, message: "\(event.message)", metadata: metadata.merging(event.metadata ?? [:]) { $1 })
  }

  func write(level: Logger.Level, message: String, metadata: Logger.Metadata) {
    let prefix = isJournal ? "<\(Self.priority(level))>" : "\(Self.time()) \(level): "
    // One line of the log for each line of the text: hints follow their message.
    let lines = Self.text(message, metadata).split(separator: "\n").map { prefix + $0 + "\n" }.joined()
    let bytes = Array(lines.utf8)
    guard Descriptor.hasRoom(STDERR_FILENO) else { return }
    _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }

  /// The message behind the device that it is about, and the process that said it.
  static func text(_ message: String, _ metadata: Logger.Metadata) -> String {
    var text = message
    if let process = metadata["process"] { text = "\(process): \(text)" }
    guard let device = metadata["device"] else { return text }
    return "\(device)\(metadata["name"].map { " \($0)" } ?? ""): \(text)"
  }

  static func priority(_ level: Logger.Level) -> Int {
    switch level {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }

  private static func time() -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    var parts = tm()
    localtime_r(&now.tv_sec, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let milliseconds = String(1000 + now.tv_nsec / 1_000_000).dropFirst()
    return "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)"
  }
}
