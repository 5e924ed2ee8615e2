import CBulkhead
import Glibc

/// An inbound TCP segment of the plain kind: no fragment, no IPv4 options, one VLAN tag at most, some payload, and no flag
/// but ACK and PSH. Of any other frame there is none.
public struct TCPSegment {
  /// Its first byte. It was written by the device, which may write again: what is believed is bounded, not right.
  let frame: UnsafeMutableRawPointer
  /// Where the IP header, the TCP header and the payload begin.
  let network: Int
  let transport: Int
  let headers: Int
  /// Bytes of it.
  public let payload: Int
  let isIPv6: Bool
  let sequence: UInt32
  let isPushed: Bool

  /// - Parameter length: bytes of the frame without its check sequence.
  @inline(__always)
  public init?(_ frame: UnsafeMutableRawPointer, length: Int) {
    guard length >= 14 + 20 + 20 else { return nil }
    var network = 14
    var type = frame.get16(12)
    if type == 0x8100 {
      network = 18
      type = frame.get16(16)
    }
    // RFC 791 section 3.1, RFC 8200 section 3, RFC 9293 section 3.1.
    switch type {
    case 0x0800:
      guard length >= network + 40, frame.get8(network) == 0x45, frame.get16(network + 6) == 0x4000,
        frame.get8(network + 9) == 6, Int(frame.get16(network + 2)) == length - network
      else { return nil }
      isIPv6 = false
      transport = network + 20
    case 0x86DD:
      guard length >= network + 60, frame.get8(network) >> 4 == 6, frame.get8(network + 6) == 6,
        Int(frame.get16(network + 4)) == length - network - 40
      else { return nil }
      isIPv6 = true
      transport = network + 40
    default: return nil
    }
    let size = Int(frame.get8(transport + 12) >> 4) * 4
    let flags = frame.get8(transport + 13)
    guard size >= 20, transport + size < length, frame.get8(transport + 12) & 15 == 0, flags & ~0x08 == 0x10 else {
      return nil
    }
    self.frame = frame
    self.network = network
    headers = transport + size
    payload = length - headers
    sequence = frame.get32(transport + 4)
    isPushed = flags & 0x08 != 0
  }

  /// Whether all that has to be equal in segments of one train is: everything but lengths, sums, IPv4's identification
  /// (without a meaning where nothing is fragmented, RFC 6864 section 4.1), sequence number and PSH.
  @inline(__always)
  func isLike(_ other: TCPSegment) -> Bool {
    guard network == other.network, transport == other.transport, headers == other.headers, isIPv6 == other.isIPv6
    else { return false }
    if isIPv6 {
      guard equal(other, 0, network + 4), equal(other, network + 6, transport + 4) else { return false }
    } else {
      guard equal(other, 0, network + 2), equal(other, network + 6, network + 10),
        equal(other, network + 12, transport + 4)
      else { return false }
    }
    return equal(other, transport + 8, transport + 13) && equal(other, transport + 14, transport + 16)
      && equal(other, transport + 18, headers)
  }

  @inline(__always)
  private func equal(_ other: TCPSegment, _ begin: Int, _ end: Int) -> Bool {
    memcmp(frame + begin, other.frame + begin, end - begin) == 0
  }
}

/// Consecutive inbound segments of one TCP connection that become one large one for the outlet, as a NIC's large receive
/// offload or the kernel's GRO would make it. It is told to the kernel as a frame that segmentation may cut again
/// (virtio 1.2 section 5.1.6.2, VIRTIO_NET_F_HOST_TSO4 and VIRTIO_NET_F_HOST_TSO6).
///
/// Only frames whose checksum the NIC has found right may be joined: the kernel does not look at it again. The driver owns
/// the memory: the first frame stays whole, of the others only the payload is described.
public struct SegmentTrain {
  /// The most segments, so that a chain of descriptors can hold them.
  public static let limit = 48

  private var first: TCPSegment?
  private var next: UInt32 = 0
  private var total = 0
  private var isPushed = false
  /// Segments in it.
  public private(set) var count = 0

  public init() {}

  /// Bytes of headers before the payload of each segment.
  public var headers: Int { first?.headers ?? 0 }

  /// Whether nothing can follow: a short segment, one that is pushed, or no room.
  @inline(__always)
  public var isComplete: Bool {
    guard let first else { return false }
    return isPushed || count == Self.limit || total % first.payload != 0
  }

  /// The train is empty, and begins with this one.
  @inline(__always)
  public mutating func begin(_ segment: TCPSegment) {
    first = segment
    next = segment.sequence &+ UInt32(truncatingIfNeeded: segment.payload)
    total = segment.payload
    isPushed = segment.isPushed
    count = 1
  }

  /// Adds a segment if it is the next one.
  @inline(__always)
  public mutating func join(_ segment: TCPSegment) -> Bool {
    guard let first, !isComplete, segment.sequence == next, segment.payload <= first.payload,
      first.headers - first.network + total + segment.payload <= 65535, segment.isLike(first)
    else { return false }
    next = next &+ UInt32(truncatingIfNeeded: segment.payload)
    total += segment.payload
    isPushed = segment.isPushed
    count += 1
    return true
  }

  /// Makes the headers of the first segment those of the whole, with the virtio header before it, and empties the train.
  /// A train of one is left as it came.
  public mutating func finish() {
    defer { self = SegmentTrain() }
    guard let first, count > 1 else { return }
    let frame = first.frame
    let length = first.headers - first.transport + total
    if first.isIPv6 {
      frame.put16(first.network + 4, UInt16(truncatingIfNeeded: length))
    } else {
      frame.put16(first.network + 2, UInt16(truncatingIfNeeded: length + 20))
      frame.put16(first.network + 10, 0)
      frame.put16(first.network + 10, ~bh_internet_sum(frame + first.network, 20, 0))
    }
    if isPushed {
      frame.storeBytes(of: frame.get8(first.transport + 13) | 0x08, toByteOffset: first.transport + 13, as: UInt8.self)
    }
    // The pseudo header's sum, as a frame without checksum has it.
    let addresses = first.isIPv6 ? (first.network + 8, 32) : (first.network + 12, 8)
    frame.put16(
      first.transport + 16, bh_internet_sum(frame + addresses.0, addresses.1, 6 + UInt32(truncatingIfNeeded: length)))
    let header = frame - NetworkClass.headerSize
    let kind = first.isIPv6 ? NetworkClass.Segmentation.tcp6 : .tcp4
    bh_store32(
      header,
      UInt32(NetworkClass.flagNeedsChecksum) | UInt32(kind.rawValue) << 8
        | UInt32(truncatingIfNeeded: first.headers) << 16)
    bh_store32(
      header + 4, UInt32(truncatingIfNeeded: first.payload) | UInt32(truncatingIfNeeded: first.transport) << 16)
    bh_store32(header + 8, 16)
  }
}

extension UnsafeMutableRawPointer {
  @inline(__always)
  fileprivate func get8(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }
  @inline(__always)
  fileprivate func get16(_ offset: Int) -> UInt16 {
    UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  @inline(__always)
  fileprivate func get32(_ offset: Int) -> UInt32 {
    UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  @inline(__always)
  fileprivate func put16(_ offset: Int, _ value: UInt16) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }
}
