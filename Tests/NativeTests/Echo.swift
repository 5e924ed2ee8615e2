import CBulkhead
import Glibc
import NamespaceRig
import Netlink
import Platform

/// ICMP echo (RFC 792, RFC 4443), as ping(8) does it, through a raw socket.
final class Echo {
  enum Version: CaseIterable {
    case ip4, ip6

    fileprivate var family: Int32 { self == .ip4 ? AF_INET : AF_INET6 }
    fileprivate var kind: Int32 { self == .ip4 ? 1 : 58 }
    fileprivate var request: UInt8 { self == .ip4 ? 8 : 128 }
    fileprivate var reply: UInt8 { self == .ip4 ? 0 : 129 }

    /// Of one end of the rig's wire.
    func address(isFar: Bool) -> [UInt8] {
      let last: UInt8 = isFar ? 2 : 1
      return self == .ip4 ? [10, 77, 0, last] : [0xFD, 0x77] + [UInt8](repeating: 0, count: 13) + [last]
    }
  }

  private let version: Version
  private let descriptor: Descriptor

  init(_ version: Version, in namespace: NetworkNamespace) throws {
    self.version = version
    var made: Int32 = -1
    try NamespaceRig.run(in: namespace) { made = socket(version.family, Int32(SOCK_RAW.rawValue), version.kind) }
    guard made >= 0 else { throw Failure("rig", "make a raw socket", errno: errno) }
    descriptor = Descriptor(owning: made)
    try checked(bh_set_nonblocking(made, 1), "rig", "make a raw socket non-blocking")
  }

  /// Sends one request and waits for its reply, which must have the same contents.
  /// - Parameters:
  ///   - bytes: of contents.
  ///   - time: nanoseconds.
  func isAnswered(by address: [UInt8], bytes: Int, within time: Int64) throws -> Bool {
    let mark = UInt32.random(in: 0...UInt32.max)
    var message: [UInt8] = [version.request, 0, 0, 0] + withUnsafeBytes(of: mark) { Array($0) }
    message += (0..<bytes).map { UInt8(truncatingIfNeeded: $0) }
    // The kernel sums up ICMPv6 itself.
    if version == .ip4 {
      let sum = ~bh_internet_sum(message, message.count, 0)
      (message[2], message[3]) = (UInt8(sum >> 8), UInt8(sum & 0xFF))
    }
    send(message, to: address)
    let deadline = monotonicNow() + time
    var room = [UInt8](repeating: 0, count: 0x10000)
    while case let left = deadline - monotonicNow(), left > 0 {
      var polled = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
      guard bh_ppoll(&polled, 1, left) > 0 else { continue }
      let length = recv(descriptor.number, &room, room.count, 0)
      // IPv4's header comes with it.
      let start = version == .ip4 && length > 0 ? Int(room[0] & 0xF) * 4 : 0
      guard length == start + message.count, room[start] == version.reply else { continue }
      if room[(start + 4)..<length] == message[4...] { return true }
    }
    return false
  }

  /// What cannot be sent now is lost, like what nobody answers.
  private func send(_ message: [UInt8], to address: [UInt8]) {
    var target = sockaddr_storage()
    target.ss_family = sa_family_t(version.family)
    let size = version == .ip4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
    withUnsafeMutableBytes(of: &target) { $0[(version == .ip4 ? 4 : 8)...].copyBytes(from: address) }
    _ = withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor.number, message, message.count, 0, $0, socklen_t(size))
      }
    }
  }
}
