import CBulkhead
import Glibc

/// What systemd wants to hear (sd_notify(3)); nothing where it does not listen.
struct ServiceNotification {
  private let socket: String?

  init(socket: String? = getenv("NOTIFY_SOCKET").map { String(cString: $0) }) { self.socket = socket }

  /// Whether there is somebody to tell.
  var isHeard: Bool { socket != nil }

  /// - Parameter files: systemd gets copies of them.
  /// - Returns: the errno of what kept it from being sent; 0: it was sent, or nobody wants it.
  @discardableResult
  func send(_ state: String, files: [Int32] = []) -> Int32 {
    guard let socket else { return 0 }
    let bytes = Array(state.utf8)
    return -bh_unix_datagram(socket, bytes, bytes.count, files, files.count)
  }

  /// Half of systemd's patience, in nanoseconds; nil without a watchdog.
  static var watchdogInterval: Int64? {
    guard let text = getenv("WATCHDOG_USEC"), let microseconds = Int64(String(cString: text)), microseconds > 0 else {
      return nil
    }
    return microseconds * 500
  }
}
