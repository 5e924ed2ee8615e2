import Glibc
import Platform
import Protocol

/// A packet socket that asks an interface for frames (packet(7)), as interfaces on top of it do: the kernel tells nobody.
public final class PacketMember {
  public enum Wish {
    /// Frames to one more unicast address. An interface that cannot filter several takes all frames then, as it does for a
    /// macvlan.
    case address(HardwareAddress)
    case allMulticast
  }

  private var file: Int32

  /// - Parameter index: of an interface in the thread's namespace.
  public init(of index: Int32, _ wish: Wish) throws(Failure) {
    file = try checked(socket(AF_PACKET, Int32(SOCK_RAW.rawValue), 0), "rig", "open a packet socket")
    // struct packet_mreq: int ifindex, unsigned short type and length, 8 octets of address.
    var request = [UInt8](repeating: 0, count: 16)
    request.withUnsafeMutableBytes { $0.storeBytes(of: index, as: Int32.self) }
    switch wish {
    // PACKET_MR_UNICAST.
    case .address(let address):
      request[4] = 3
      request[6] = 6
      for octet in 0..<6 { request[8 + octet] = address[octet] }
    // PACKET_MR_ALLMULTI.
    case .allMulticast: request[4] = 2
    }
    // SOL_PACKET, PACKET_ADD_MEMBERSHIP.
    guard setsockopt(file, 263, 1, &request, 16) == 0 else {
      let error = errno
      leave()
      throw Failure("rig", "ask interface \(index) for frames", errno: error)
    }
  }

  deinit { leave() }

  public func leave() {
    if file >= 0 { close(file) }
    file = -1
  }
}
