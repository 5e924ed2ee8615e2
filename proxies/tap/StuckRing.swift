import CBulkhead
import Protocol
import TAP
import Virtqueue

/// Finds frames that vhost-net can neither take nor pass over: what has fewer bytes than a header it gives back to the ring
/// and tries again, for ever (vhost_net_build_xdp in drivers/vhost/net.c, Linux 6.1), without a word.
///
/// It is looked at now and then. That a ring stands still is no proof; that its next frame has too few bytes is, whatever
/// else goes on, and both together twice in a row cannot be a frame that vhost-net was about to pass over.
struct StuckRing {
  private let ring: UnsafeMutableRawPointer
  private let layout: VirtqueueLayout
  /// Where the ring stood when it was looked at last, if its next frame was too short.
  private var stood: UInt16?

  init(_ ring: UnsafeMutableRawPointer, _ layout: VirtqueueLayout) {
    self.ring = ring
    self.layout = layout
  }

  /// How many bytes the frame has on which the ring stands still since the last look; nil where it does not.
  mutating func look() -> Int? {
    // Both indices are the driver's to write, too: it would only accuse itself.
    let used = bh_load16_acquire(ring + layout.usedOffset + 2)
    let before = stood
    stood = nil
    guard bh_load16_acquire(ring + layout.availOffset + 2) != used, let bytes = shortFrame(at: used) else { return nil }
    stood = used
    return before == used ? bytes : nil
  }

  /// The bytes of the chain at this place of the available ring, if they are fewer than a header's.
  private func shortFrame(at place: UInt16) -> Int? {
    var index = Int(bh_load16(ring + layout.availOffset + 4 + Int(place) % layout.size * 2))
    var bytes = 0
    for _ in 0..<NetworkClass.maximumChain {
      guard index < layout.size else { return nil }
      let descriptor = ring + layout.descriptorOffset + index * 16
      bytes += Int(bh_load32(descriptor + 8))
      guard bytes < NetworkClass.headerSize else { return nil }
      guard bh_load16(descriptor + 12) & VirtqueueDescriptor.flagNext != 0 else { return bytes }
      index = Int(bh_load16(descriptor + 14))
    }
    return nil
  }
}
