import CBulkhead
import Protocol

/// A virtio header that contradicts its frame, or a frame that is none.
public enum HeaderForgery: String, CaseIterable, Sendable {
  /// A checksum that begins or lies behind the end, or whose place is nowhere.
  case checksumStart = "checksum-start"
  case checksumOffset = "checksum-offset"
  case checksumNowhere = "checksum-nowhere"
  /// Segments: of size 0, of unknown kinds, of UDP, without a checksum, with the flag for ECN alone.
  case segmentSize = "segment-size"
  case segmentKind = "segment-kind"
  case segmentUDP = "segment-udp"
  case segmentWithoutChecksum = "segment-without-checksum"
  case segmentECN = "segment-ecn"
  /// Segments of a frame whose bytes are no TCP.
  case segmentOfNothing = "segment-of-nothing"
  /// Segments of 65535 bytes, which Linux takes as "as its fragments are" (GSO_BY_FRAGS), where a frame has none. Every other
  /// time the frame is so long that the size counts.
  case segmentByFragments = "segment-by-fragments"
  /// Headers of 0 and of 65535 bytes.
  case headerNone = "header-none"
  case headerHuge = "header-huge"
  case bufferCount = "buffer-count"
  case flags
  case random
  /// Frames of 0 to 13 bytes; less than a header, but something; one of more than 64 KiB.
  case short
  case cut
  case long

  /// What is wrong in the header alone.
  public static let ofHeaders = allCases.filter { ![.short, .cut, .long].contains($0) }

  /// Bytes of header and frame that belong to it, if they matter.
  public func length(turn: Int) -> Int? {
    switch self {
    case .segmentByFragments: turn % 2 == 0 ? nil : NetworkClass.headerSize + 0x1_4000
    case .short: NetworkClass.headerSize + turn % NetworkClass.minimumFrame
    case .cut: 1 + turn % (NetworkClass.headerSize - 1)
    case .long: NetworkClass.headerSize + NetworkClass.maximumSegmentedFrame + 1 + turn * 4096 % 0x10_0000
    default: nil
    }
  }

  /// Writes it before a frame of `length` bytes.
  public func write(to header: UnsafeMutableRawPointer, length: Int, turn: Int) {
    var flags: UInt8 = 0
    var kind: UInt8 = 0
    var values: (headers: UInt16, size: UInt16, start: UInt16, offset: UInt16, buffers: UInt16) = (54, 0, 34, 16, 0)
    let segments = { (newKind: UInt8) in (flags, kind, values.size) = (NetworkClass.flagNeedsChecksum, newKind, 1448) }
    let end = UInt16(truncatingIfNeeded: length)
    switch self {
    case .checksumStart: (flags, values.start) = (1, end)
    case .checksumOffset: (flags, values.start, values.offset) = (1, 14, end &- 15)
    case .checksumNowhere: (flags, values.start, values.offset) = (1, .max, .max)
    case .segmentSize:
      segments(1)
      values.size = 0
    case .segmentKind: segments(UInt8(truncatingIfNeeded: 6 + turn % 100))
    case .segmentUDP: segments(3)
    case .segmentWithoutChecksum:
      segments(1)
      flags = 0
    case .segmentECN: kind = NetworkClass.segmentationECN
    case .segmentOfNothing: segments(turn % 2 == 0 ? 1 : 4)
    case .segmentByFragments:
      segments(1)
      values.size = .max
    case .headerNone:
      segments(1)
      values.headers = 0
    case .headerHuge:
      segments(1)
      values.headers = .max
    case .bufferCount: values.buffers = .max
    case .flags: flags = .max
    case .random:
      var state = UInt64(truncatingIfNeeded: turn) &* 0x9E37_79B9_7F4A_7C15
      for place in 0..<NetworkClass.headerSize {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        header.storeBytes(of: UInt8(truncatingIfNeeded: state >> 56), toByteOffset: place, as: UInt8.self)
      }
      return
    case .short, .cut, .long: break
    }
    header.storeBytes(of: flags, as: UInt8.self)
    header.storeBytes(of: kind, toByteOffset: 1, as: UInt8.self)
    let words = [values.headers, values.size, values.start, values.offset, values.buffers]
    for (index, word) in words.enumerated() {
      header.storeBytes(of: word.littleEndian, toByteOffset: 2 + 2 * index, as: UInt16.self)
    }
  }
}
