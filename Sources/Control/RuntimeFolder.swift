import Glibc

/// Where sockets and records are if nobody says otherwise.
public enum RuntimeFolder {
  /// Of the system's own daemon.
  public static let system = "/run/bulkhead"

  /// Of a daemon that this user starts: ``system`` for root, else a folder of the user's own.
  public static var standard: String {
    standard(uid: geteuid(), session: getenv("XDG_RUNTIME_DIR").map { String(cString: $0) })
  }

  static func standard(uid: UInt32, session: String?) -> String {
    if uid == 0 { return system }
    if let session, session.hasPrefix("/") { return "\(session)/bulkhead" }
    return "/tmp/bulkhead-\(uid)"
  }

  /// The varlink socket of the daemon in a runtime folder.
  public static func serviceSocket(in folder: String) -> String { "\(folder)/io.bulkhead" }

  /// The socket of the user's own daemon if there is one, else of the system's.
  public static var clientSocket: String {
    let own = serviceSocket(in: standard)
    var found = stat()
    // Where everybody may write, somebody else could have put it.
    return lstat(own, &found) == 0 && found.st_uid == geteuid() ? own : serviceSocket(in: system)
  }
}
