import Glibc
import Platform

/// One UDP datagram from the thread's namespace, to port 9 (discard).
public enum Datagram {
  /// - Parameter address: an IPv4 address as a number, most significant byte first.
  public static func send(bytes: Int, to address: UInt32) throws {
    let file = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    guard file >= 0 else { throw Failure("rig", "make a UDP socket", errno: errno) }
    let descriptor = Descriptor(owning: file)
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = UInt16(9).bigEndian
    target.sin_addr.s_addr = address.bigEndian
    let payload = [UInt8](repeating: 0xA5, count: bytes)
    let sent = withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor.number, payload, bytes, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard sent == bytes else { throw Failure("rig", "send a datagram", errno: errno) }
  }
}
