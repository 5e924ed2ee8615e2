import CBulkhead
import Glibc
import Platform

/// Hears the kernel's uevents. Messages of anybody else are dropped and counted.
public final class UeventSocket {
  private let descriptor: Int32
  private var buffer = [UInt8](repeating: 0, count: 16 * 1024)
  /// Messages that did not come from the kernel, or that were malformed.
  public private(set) var dropped: UInt64 = 0

  /// - Parameter receiveBuffer: bytes that the kernel may queue; a burst beyond it is `uevent-overrun`.
  /// - Throws: `uevent-socket`.
  public init(receiveBuffer: Int = 1 << 20) throws(Failure) {
    descriptor = try checked(
      bh_uevent_socket(Int32(clamping: receiveBuffer)), "uevent-socket", "listen to kernel uevents")
  }

  deinit { close(descriptor) }

  /// To wait on for POLLIN; non-blocking.
  public var file: Int32 { descriptor }

  /// The next event, or `nil` when there is none now. Call until `nil`.
  /// - Throws: `uevent-overrun` when events were lost: look at all devices again. `uevent-receive`.
  public func receive() throws(Failure) -> Uevent? {
    while true {
      var sender = bh_netlink_sender()
      let count = bh_netlink_receive(descriptor, &buffer, buffer.count, &sender)
      switch Int32(clamping: count) {
      case -EAGAIN: return nil
      case -EINTR: continue
      case -ENOBUFS:
        throw Failure("uevent-overrun", "receive uevents: the kernel had to drop some", errno: ENOBUFS)
      case ..<0: throw Failure("uevent-receive", "receive a uevent", errno: Int32(clamping: -count))
      default: break
      }
      if UeventSocket.isFromKernel(sender), let event = try? Uevent(parsing: Array(buffer[..<count])) { return event }
      dropped += 1
    }
  }

  /// Any process with CAP_NET_ADMIN may send to the group, but only the kernel from port 0.
  static func isFromKernel(_ sender: bh_netlink_sender) -> Bool {
    sender.port == 0 && sender.groups & 1 != 0 && sender.has_credentials != 0 && sender.uid == 0
      && sender.truncated == 0
  }
}
