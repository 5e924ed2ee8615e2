import Glibc

/// What of the journal is wanted, as arguments of journalctl(1).
public struct JournalQuery: Sendable, Equatable {
  /// What the records are about.
  public enum Subject: Sendable, Equatable {
    /// A full address.
    case device(String)
    /// The name in the configuration, where nobody is there to tell its address.
    case name(String)

    var match: String {
      switch self {
      case .device(let address): "BULKHEAD_DEVICE=\(address)"
      case .name(let name): "BULKHEAD_NAME=\(name)"
      }
    }
  }

  public var subject: Subject
  public var follow = false
  /// `100`, or `all`; nil: as journalctl has it.
  public var lines: String?
  /// A time as systemd.time(7) has it.
  public var since: String?
  public var json = false
  /// Whose records count, beside root's: anybody may write what he likes into the journal, but not under another's user id.
  public var user: UInt32

  public init(_ subject: Subject, user: UInt32 = geteuid()) {
    self.subject = subject
    self.user = user
  }

  /// Options in one word each, so that no value can become another option.
  public var arguments: [String] {
    var words = ["journalctl"]
    if follow { words.append("--follow") }
    if let lines { words.append("--lines=\(lines)") }
    if let since { words.append("--since=\(since)") }
    if json { words.append("--output=json") }
    words.append(subject.match)
    // Matches of one field are alternatives.
    words.append("_UID=0")
    if user != 0 { words.append("_UID=\(user)") }
    return words
  }
}

/// Whether the system's journal can be read.
public enum JournalAccess: Sendable, Equatable {
  case granted
  /// It is there, and not for us.
  case denied
  /// There is none, or none that is known of.
  case absent

  /// - Parameters:
  ///   - folders: where journald keeps its files, on disk and in memory.
  ///   - machine: the machine's id, which names the folder below.
  public static func find(
    in folders: [String] = ["/var/log/journal", "/run/log/journal"], machine: String? = machineID
  ) -> JournalAccess {
    guard let machine else { return .absent }
    var isThere = false
    for folder in folders {
      if access("\(folder)/\(machine)/system.journal", R_OK) == 0 { return .granted }
      isThere = isThere || errno == EACCES
    }
    return isThere ? .denied : .absent
  }

  /// What `/etc/machine-id` says.
  public static var machineID: String? {
    let file = open("/etc/machine-id", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 32)
    guard read(file, &bytes, 32) == 32 else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}
