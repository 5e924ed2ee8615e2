import CBulkhead
import DriverKit

/// What the controller has to do to an outbound frame, in the form of its descriptors: datasheet 7.2.4 to 7.2.7.
struct Offload: Equatable {
  /// The context descriptor: IPCSS 7:0, IPCSO 15:8, IPCSE 31:16, TUCSS 39:32, TUCSO 47:40, TUCSE 63:48.
  var contextLow: UInt64 = 0
  /// PAYLEN 19:0, TUCMD 31:24, HDRLEN 47:40, MSS 63:48.
  var contextHigh: UInt64 = 0
  /// DCMD and POPTS, for every data descriptor of the frame: this controller takes them from the first, others from the
  /// last.
  var command: UInt64 = 0
  var hasContext = false

  var isSegmented: Bool { command & Self.segment != 0 }

  static let none = Offload()

  /// TUCMD: TCP, IP (version 4), TSE, DEXT.
  static let tcp: UInt64 = 1 << 24
  static let ipv4: UInt64 = 1 << 25
  /// TSE, in TUCMD and in DCMD.
  static let segment: UInt64 = 1 << 26
  static let extended: UInt64 = 1 << 29
  /// POPTS: IXSM, TXSM.
  static let insertIP: UInt64 = 1 << 40
  static let insertTCP: UInt64 = 1 << 41

  /// HDRLEN has eight bits; the datasheet permits up to 240 bytes.
  static let longestHeader = 240
}

/// Why an outbound frame is not sent.
enum OutboundRefusal: String, Error {
  case length = "its length is that of no frame, or too large for this NIC"
  case checksum = "the place of its checksum is outside it"
  case segmentation = "its segmentation is of an unknown kind, or without a checksum"
  case headers = "its headers are not those of the TCP segment that it should be"
  case segmentSize = "its segments would be empty or too large"
}

/// An outbound frame, with the virtio header before it: virtio 1.2 section 5.1.6.
struct OutboundFrame {
  /// Of the first byte after the virtio header.
  let bytes: UnsafeMutableRawPointer
  let length: Int

  @inline(__always)
  private func get8(_ offset: Int) -> UInt8 { bytes.load(fromByteOffset: offset, as: UInt8.self) }
  @inline(__always)
  private func get16(_ offset: Int) -> UInt16 {
    UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  @inline(__always)
  private func put16(_ offset: Int, _ value: UInt16) {
    bytes.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  /// Decides what the controller does. The frame is changed where the controller wants it so: for segmentation, lengths
  /// that differ between segments are 0, and a checksum that the controller cannot reach is filled in here.
  /// - Parameter largest: bytes of the largest frame on the wire, without its check sequence.
  @inline(__always)
  func plan(largest: Int) throws(OutboundRefusal) -> Offload {
    guard length >= NetworkClass.minimumFrame else { throw .length }
    // Two loads, so that nobody changes a field midway: flags 7:0 and gso_type 15:8; gso_size 15:0, csum_start 31:16 and
    // csum_offset 47:32.
    let kinds = bh_load32(bytes - NetworkClass.headerSize)
    // With the flag for ECN it is of no kind that is known here: the driver does not offer to cut those.
    let kind = UInt8(truncatingIfNeeded: kinds >> 8)
    let needsChecksum = UInt8(truncatingIfNeeded: kinds) & NetworkClass.flagNeedsChecksum != 0
    if kind == NetworkClass.Segmentation.none.rawValue {
      guard length <= largest else { throw .length }
      guard needsChecksum else { return .none }
    }
    let places = bh_load64(bytes - NetworkClass.headerSize + NetworkClass.segmentSizeOffset)
    let start = Int(places >> 16 & 0xFFFF)
    let offset = Int(places >> 32 & 0xFFFF)
    if kind == NetworkClass.Segmentation.none.rawValue { return try checksum(start, offset) }
    guard needsChecksum, offset == 16 else { throw .segmentation }
    return try segmentation(kind, start: start, size: Int(places & 0xFFFF), largest: largest)
  }

  /// Its length, with zeroes behind it where it is shorter than `least`. A buffer has room for that.
  @inline(__always)
  func padded(to least: Int) -> Int {
    guard length < least else { return length }
    for place in length..<least { bytes.storeBytes(of: 0, toByteOffset: place, as: UInt8.self) }
    return least
  }

  @inline(__always)
  private func checksum(_ start: Int, _ offset: Int) throws(OutboundRefusal) -> Offload {
    let place = start + offset
    guard start >= NetworkClass.ethernetHeaderSize, place + 2 <= length else { throw .checksum }
    // TUCSS and TUCSO have eight bits each.
    guard place <= 255 else {
      fillChecksum(start, place)
      return .none
    }
    var offload = Offload()
    offload.hasContext = true
    offload.contextLow = UInt64(start) << 32 | UInt64(place) << 40
    offload.contextHigh = Offload.extended | (offset == 16 ? Offload.tcp : 0)
    offload.command = Offload.insertTCP
    return offload
  }

  /// The Internet checksum (RFC 1071) over everything from `start`; the field holds the pseudo header's sum already.
  @inline(never)
  private func fillChecksum(_ start: Int, _ place: Int) {
    var sum: UInt64 = 0
    var index = start
    while index + 1 < length {
      sum += UInt64(get16(index))
      index += 2
    }
    if index < length { sum += UInt64(get8(index)) << 8 }
    let folded = ~Self.fold(sum)
    put16(place, folded == 0 ? 0xFFFF : folded)
  }

  private static func fold(_ sum: UInt64) -> UInt16 {
    var sum = sum
    while sum > 0xFFFF { sum = (sum & 0xFFFF) + sum >> 16 }
    return UInt16(sum)
  }

  /// The IP header: after the EtherType, or after one or two VLAN tags.
  @inline(__always)
  private func networkHeader() -> (start: Int, type: UInt16) {
    var place = NetworkClass.ethernetHeaderSize - 2
    for _ in 0..<2 {
      let type = get16(place)
      guard type == 0x8100 || type == 0x88A8, place + NetworkClass.tagSize + 2 <= length else { break }
      place += NetworkClass.tagSize
    }
    return (place + 2, get16(place))
  }

  private func segmentation(
    _ kind: UInt8, start: Int, size: Int, largest: Int
  ) throws(OutboundRefusal) -> Offload {
    guard length <= NetworkClass.maximumSegmentedFrame else { throw .length }
    let (network, type) = networkHeader()
    let isVersion4: Bool
    switch NetworkClass.Segmentation(rawValue: kind) {
    case .tcp4: isVersion4 = true
    case .tcp6: isVersion4 = false
    default: throw .segmentation
    }
    // The TCP header has to be there before a byte of it is read.
    guard start + 20 <= length, type == (isVersion4 ? 0x0800 : 0x86DD) else { throw .headers }
    if isVersion4 {
      guard start >= network + 20, network + Int(get8(network) & 0xF) * 4 == start, get8(network + 9) == 6 else {
        throw .headers
      }
    } else {
      guard start >= network + 40 else { throw .headers }
    }
    guard get8(network) >> 4 == (isVersion4 ? 4 : 6) else { throw .headers }
    let tcpLength = Int(get8(start + 12) >> 4) * 4
    let headers = start + tcpLength
    guard tcpLength >= 20, headers <= Offload.longestHeader, headers < length else { throw .headers }
    guard size > 0, headers + size <= largest else { throw .segmentSize }

    // The controller adds each segment's length to the pseudo header's sum: the whole length comes out of it.
    let partial = UInt64(get16(start + 16)) + UInt64(~UInt16(truncatingIfNeeded: length - start))
    put16(start + 16, Self.fold(partial))
    var offload = Offload()
    offload.hasContext = true
    offload.contextLow = UInt64(start) << 32 | UInt64(start + 16) << 40
    offload.contextHigh =
      UInt64(length - headers) | Offload.extended | Offload.segment | Offload.tcp | UInt64(headers) << 40
      | UInt64(size) << 48
    offload.command = Offload.segment | Offload.insertTCP
    if isVersion4 {
      put16(network + 2, 0)
      put16(network + 10, 0)
      offload.contextLow |= UInt64(network) | UInt64(network + 10) << 8 | UInt64(start - 1) << 16
      offload.contextHigh |= Offload.ipv4
      offload.command |= Offload.insertIP
    } else {
      put16(network + 4, 0)
      offload.contextLow |= UInt64(network)
    }
    return offload
  }
}
