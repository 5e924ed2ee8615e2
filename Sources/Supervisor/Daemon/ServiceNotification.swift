import CBulkhead
import Glibc

/// What systemd wants to hear (sd_notify(3)); nothing where it does not listen.
struct ServiceNotification {
  private let socket: String?

  init(socket: String? = getenv("NOTIFY_SOCKET").map { String(cString: $0) }) { self.socket = socket }

  func send(_ state: String) {
    guard let socket else { return }
    let bytes = Array(state.utf8)
    _ = bh_unix_datagram(socket, bytes, bytes.count)
  }

  /// Half of systemd's patience, in nanoseconds; nil without a watchdog.
  static var watchdogInterval: Int64? {
    guard let text = getenv("WATCHDOG_USEC"), let microseconds = Int64(String(cString: text)), microseconds > 0 else {
      return nil
    }
    return microseconds * 500
  }
}
