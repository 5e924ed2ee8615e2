/// The network class: virtio-net (virtio 1.2 section 5.1) on split virtqueues. The driver plays the guest, and the outlet
/// plays the device: the kernel's vhost-net, or the broker's own TAP worker. Both serve the same queues.
///
/// A descriptor's address is the device's address (IOVA) of memory in the driver's arena, and that is all a device side
/// accepts: vhost-net's memory table has the arena as its only region. So a frame has one place, which the NIC and the
/// TAP use in turn, and nothing is copied between ring and queue. The virtqueues themselves are in the memory of the rings,
/// which the NIC cannot reach; a device side is given their addresses in its own process.
///
/// Words for the directions, seen from the machine: *outbound* frames go from the TAP to the wire, *inbound* frames from
/// the wire to the TAP. Outbound frames travel on virtio's *receive* queues, since it is the guest that receives them.
///
/// The eventfds keep the numbers and the direction that they have for every class: ``DriverFile/kicks`` wakes the driver
/// (virtio's call), ``DriverFile/calls`` wakes the other side (virtio's kick).
public enum NetworkClass {
  /// What a queue carries; its number modulo 2 (virtio 1.2 section 5.1.2: receiveq1 is 0, transmitq1 is 1).
  public enum Direction: Int, CaseIterable, Sendable {
    /// Frames for the wire; virtio's receiveq. The driver offers empty buffers.
    case outbound = 0
    /// Frames from the wire; virtio's transmitq. The driver offers frames.
    case inbound = 1
  }

  public static func direction(ofQueue index: Int) -> Direction { index & 1 == 0 ? .outbound : .inbound }

  /// Where a queue is in the memory of the rings: there are no slots, headers lie before their frames in the arena.
  public static let slots = 0

  /// The most descriptors of one chain.
  public static let maximumChain = 64

  // The header before each frame, `struct virtio_net_hdr_v1`: virtio 1.2 section 5.1.6. Little endian.

  /// Bytes of the header. With VIRTIO_F_VERSION_1 it has `num_buffers`, whether buffers are merged or not.
  public static let headerSize = 12
  /// flags u8.
  public static let flagsOffset = 0
  /// gso_type u8.
  public static let segmentationOffset = 1
  /// hdr_len u16, a hint.
  public static let headerLengthOffset = 2
  /// gso_size u16: bytes of payload in each segment.
  public static let segmentSizeOffset = 4
  /// csum_start u16: from the beginning of the frame.
  public static let checksumStartOffset = 6
  /// csum_offset u16: from csum_start.
  public static let checksumOffsetOffset = 8
  /// num_buffers u16: 1 in an outbound frame, 0 in an inbound one.
  public static let bufferCountOffset = 10

  /// VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum field holds the sum of the pseudo header only.
  public static let flagNeedsChecksum: UInt8 = 1
  /// VIRTIO_NET_HDR_F_DATA_VALID: the checksums were found right.
  public static let flagDataValid: UInt8 = 2

  /// VIRTIO_NET_HDR_GSO_*.
  public enum Segmentation: UInt8, CaseIterable, Sendable {
    case none = 0
    case tcp4 = 1
    case tcp6 = 4
  }
  /// VIRTIO_NET_HDR_GSO_ECN, added to the type: the first segment alone keeps CWR.
  public static let segmentationECN: UInt8 = 0x80

  // Feature bits, virtio 1.2 sections 5.1.3 and 6. "Guest" is the driver.

  /// VIRTIO_NET_F_CSUM: inbound frames may need a checksum.
  public static let featureChecksum: UInt64 = 1 << 0
  /// VIRTIO_NET_F_GUEST_CSUM: outbound frames may need a checksum.
  public static let featureGuestChecksum: UInt64 = 1 << 1
  /// VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN: outbound frames may be larger than the MTU,
  /// those with CWR as well.
  public static let featureGuestTSO4: UInt64 = 1 << 7
  public static let featureGuestTSO6: UInt64 = 1 << 8
  public static let featureGuestECN: UInt64 = 1 << 9
  /// VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6: inbound frames may be larger than the MTU.
  public static let featureHostTSO4: UInt64 = 1 << 11
  public static let featureHostTSO6: UInt64 = 1 << 12
  /// VIRTIO_F_EVENT_IDX; always on.
  public static let featureEventIndex: UInt64 = 1 << 29
  /// VIRTIO_F_VERSION_1; always on.
  public static let featureVersion1: UInt64 = 1 << 32

  // Sizes, in bytes.

  /// Destination, source, EtherType.
  public static let ethernetHeaderSize = 14
  /// One 802.1Q tag.
  public static let tagSize = 4
  /// Smallest frame without its check sequence.
  public static let minimumFrame = 14
  public static let minimumMTU = 68
  public static let maximumMTU = 9000
  /// The largest frame without its check sequence for an MTU, with two tags.
  public static func maximumFrame(mtu: Int) -> Int { ethernetHeaderSize + 2 * tagSize + mtu }
  /// The largest frame that segmentation leaves to the NIC: an IP packet of 65535 bytes, with two tags.
  public static let maximumSegmentedFrame = ethernetHeaderSize + 2 * tagSize + 65535
}

/// An Ethernet address.
public struct HardwareAddress: Hashable, Sendable, CustomStringConvertible {
  /// The six octets in bits 47:0, the first one on the wire in bits 47:40.
  public let bits: UInt64

  public init(bits: UInt64) { self.bits = bits & 0xFFFF_FFFF_FFFF }

  public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, _ e: UInt8, _ f: UInt8) {
    bits = [a, b, c, d, e, f].reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Octet `index`, 0 being the first on the wire.
  public subscript(index: Int) -> UInt8 {
    precondition((0..<6).contains(index), "an Ethernet address has six octets")
    return UInt8(truncatingIfNeeded: bits >> UInt64(8 * (5 - index)))
  }

  /// Group addresses, broadcast among them: the first octet is odd.
  public var isMulticast: Bool { bits >> 40 & 1 == 1 }
  /// Whether an interface may have it.
  public var isUsable: Bool { bits != 0 && !isMulticast }

  public var description: String {
    (0..<6).map { (self[$0] < 16 ? "0" : "") + String(self[$0], radix: 16) }.joined(separator: ":")
  }
}

extension WireWriter {
  mutating func put(_ address: HardwareAddress) { for index in 0..<6 { put(address[index]) } }
}

extension WireReader {
  mutating func hardwareAddress(_ name: StaticString) throws(WireError) -> HardwareAddress {
    var bits: UInt64 = 0
    for _ in 0..<6 { bits = bits << 8 | UInt64(try get(UInt8.self, name)) }
    return HardwareAddress(bits: bits)
  }
}
