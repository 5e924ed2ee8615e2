import Netlink

/// Finds the frames of one driver that the kernel took with vhost-net and then refused, since their header contradicts
/// them: no counter of a TAP has them (drivers/net/tun.c, Linux 6.1 and 6.12). What was taken and did not come out of the
/// interface must be those.
///
/// Never more than there were. The interface is looked at after the rings, and frames of the time between hide as many;
/// so do frames that were received and then dropped, which count twice. The rings count modulo 65536: more than that
/// between two looks hide too.
struct FrameBalance {
  private let begin: UInt64
  private var taken: UInt64 = 0
  /// Refused ones that were told of.
  private var told: Int64 = 0

  /// - Parameter received: ``Link/receivedOrDropped`` before the first frame of a driver.
  init(received: UInt64) { begin = received }

  /// - Parameters:
  ///   - ring: frames that the kernel has taken, modulo 65536.
  ///   - received: ``Link/receivedOrDropped``, looked at afterwards.
  /// - Returns: how many more were refused than was known.
  mutating func weigh(taken ring: UInt16, received: UInt64) -> Int {
    taken &+= UInt64(ring &- UInt16(truncatingIfNeeded: taken))
    let missing = Int64(bitPattern: taken &- (received &- begin))
    guard missing > told else { return 0 }
    defer { told = missing }
    return Int(missing - told)
  }
}

extension Link {
  /// Frames that came out of the interface, or were dropped at its door.
  var receivedOrDropped: UInt64 { statistics.receivedPackets &+ statistics.receiveDropped }
}
