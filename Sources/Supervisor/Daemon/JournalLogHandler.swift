import CBulkhead
import Glibc
import Logging

/// Writes records with fields to the journal of systemd, where standard error goes there.
///
/// Each key of a line's metadata is a field: `device` is `BULKHEAD_DEVICE`. What the journal cannot be given goes to standard
/// error as a line. Nobody waits for a journal that does not read: its files may be on a disk that waits for us. What is lost
/// with it is counted, and told when it reads again.
public struct JournalLogHandler: LogHandler {
  public var logLevel: Logger.Level
  public var metadata: Logger.Metadata = [:]
  private let fallback: LineLogHandler

  public init(level: Logger.Level) {
    logLevel = level
    fallback = LineLogHandler(level: level)
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    let record = JournalRecord(level: event.level, message: "\(event.message)", metadata: all)
    guard !JournalSocket.shared.send(record) else { return }
    fallback.write(level: event.level, message: "\(event.message)", metadata: all)
  }

  /// Whether standard error is the journal: `JOURNAL_STREAM` names the device and inode of the stream that systemd has
  /// connected (systemd.exec(5)), which somebody may have replaced since.
  public static var isConnected: Bool {
    var found = stat()
    guard let stream = getenv("JOURNAL_STREAM"), fstat(STDERR_FILENO, &found) == 0 else { return false }
    return names(String(cString: stream), device: UInt64(found.st_dev), inode: UInt64(found.st_ino))
  }

  static func names(_ stream: String, device: UInt64, inode: UInt64) -> Bool {
    let parts = stream.split(separator: ":", omittingEmptySubsequences: false)
    return parts.count == 2 && UInt64(parts[0]) == device && UInt64(parts[1]) == inode
  }
}

/// One record of the journal: fields of upper-case names, each with a text.
struct JournalRecord: Equatable {
  struct Field: Equatable {
    var name: String
    var value: String
  }

  /// For those who look for few things that matter; documented for administrators, never changed. `journalctl -x` and
  /// collectors of logs know records by them.
  static let messageIDs = [
    "restart": "f1da2aef87a342f99297ce4c3319978e",
    "quarantine": "9c4857c3551a459d95b901fb4753689f",
    "violation": "bf5e7cc03f614796aa2d73c43adfdff7",
    "dma-fault": "300ce6acf187485fa2bc60b96901d24e",
  ]

  private(set) var fields: [Field] = []

  init(level: Logger.Level, message: String, metadata: Logger.Metadata) {
    let event = metadata["event"].map { "\($0)" }
    put("MESSAGE", LineLogHandler.text(message, metadata), keepsLines: true)
    put("PRIORITY", "\(LineLogHandler.priority(level))")
    put("SYSLOG_IDENTIFIER", "bulkheadd")
    if let id = event.flatMap({ Self.messageIDs[$0] }) { put("MESSAGE_ID", id) }
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      let text = "\(value)"
      if let name = Self.fieldName(key), !text.isEmpty { put(name, text) }
    }
  }

  /// Texts of drivers are clean when they come here; this is for what nobody has thought of. A field that must not have a
  /// line break has none, and none has what a terminal obeys.
  private mutating func put(_ name: String, _ value: String, keepsLines: Bool = false) {
    var clean = ""
    for scalar in value.unicodeScalars {
      let isControl = scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value)
      let isKept = !isControl || scalar == "\t" || (keepsLines && scalar == "\n")
      clean.unicodeScalars.append(isKept ? scalar : "?")
    }
    fields.append(Field(name: name, value: clean))
  }

  /// `BULKHEAD_` and the key, upper case; nil for a key that cannot be one.
  static func fieldName(_ key: String) -> String? {
    var name = "BULKHEAD_"
    for byte in key.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"): name.unicodeScalars.append(Unicode.Scalar(byte - 32))
      case UInt8(ascii: "0")...UInt8(ascii: "9"): name.unicodeScalars.append(Unicode.Scalar(byte))
      case UInt8(ascii: "-"): name += "_"
      default: return nil
      }
    }
    return key.isEmpty || name.utf8.count > 64 ? nil : name
  }

  /// As the journal takes it (systemd's "Native Journal Protocol"): a line for each field, or, where the value has line
  /// breaks, its name, its length and it: what is in it cannot become a field.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for field in fields {
      bytes += field.name.utf8
      let value = Array(field.value.utf8)
      if value.contains(UInt8(ascii: "\n")) {
        bytes.append(UInt8(ascii: "\n"))
        withUnsafeBytes(of: UInt64(value.count).littleEndian) { bytes += $0 }
      } else {
        bytes.append(UInt8(ascii: "="))
      }
      bytes += value
      bytes.append(UInt8(ascii: "\n"))
    }
    return bytes
  }
}

/// The journal's socket for records. One thread uses it.
final class JournalSocket {
  nonisolated(unsafe) static let shared = JournalSocket(path: "/run/systemd/journal/socket")

  private let path: String
  /// Records lost since the last one that was taken.
  private(set) var lost = 0

  init(path: String) { self.path = path }

  /// - Returns: whether the record is with the journal, or is lost because the journal does not read; false where there is
  ///   no journal for it.
  func send(_ record: JournalRecord) -> Bool {
    if lost > 0 {
      let text = "\(lost) records lost: the journal did not read"
      let told = JournalRecord(level: .warning, message: text, metadata: [:])
      guard give(told) == 0 else {
        lost += 1
        return true
      }
      lost = 0
    }
    switch give(record) {
    case 0: return true
    case -EAGAIN, -ENOBUFS:
      lost += 1
      return true
    default: return false
    }
  }

  private func give(_ record: JournalRecord) -> Int32 {
    let bytes = record.bytes
    return bh_unix_datagram(path, bytes, bytes.count, nil, 0)
  }
}
