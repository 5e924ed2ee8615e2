import CBulkhead
import DriverKit

/// Why a frame does not go on.
enum FrameRefusal: String, Error {
  case length = "its length is that of no frame, or too large for this device"
  case checksum = "the place of its checksum is outside it, or the device was not asked for one"
  case segmentation = "its segmentation is of an unknown kind, or without a checksum"
  case segmentSize = "its segments would be empty or too large"
}

/// The virtio header before a frame, in memory that the device can write: virtio 1.2 section 5.1.6. Both sides have the
/// same header, but not everything that one side may say is for the other; so it is read once, checked, and written anew.
struct FrameHeader {
  /// The first byte after the header; the frame begins on a cache line.
  let frame: UnsafeMutableRawPointer
  /// Bytes of the frame.
  let length: Int

  /// flags 7:0, gso_type 15:8, hdr_len 31:16; then gso_size 15:0, csum_start 31:16, csum_offset 47:32, num_buffers 63:48.
  @inline(__always) private func load() -> (UInt32, UInt64) {
    (bh_load32(frame - NetworkClass.headerSize), bh_load64(frame - NetworkClass.headerSize + 4))
  }

  @inline(__always) private func store(_ kinds: UInt32, _ places: UInt64) {
    bh_store32(frame - NetworkClass.headerSize, kinds)
    bh_store64(frame - NetworkClass.headerSize + 4, places)
  }

  @inline(__always) private func hasChecksum(at places: UInt64) -> Bool {
    let start = Int(places >> 16 & 0xFFFF)
    return start >= NetworkClass.ethernetHeaderSize && start + Int(places >> 32 & 0xFFFF) + 2 <= length
  }

  /// A frame that came from the device, as the outlet gets it. It has no segments, as the driver asked for none.
  /// - Parameter checksums: whether the device may say something of checksums.
  @inline(__always)
  func admit(checksums: Bool) throws(FrameRefusal) {
    let (kinds, places) = load()
    guard UInt8(truncatingIfNeeded: kinds >> 8) == NetworkClass.Segmentation.none.rawValue else { throw .segmentation }
    let flags = UInt8(truncatingIfNeeded: kinds) & (NetworkClass.flagNeedsChecksum | NetworkClass.flagDataValid)
    if flags & NetworkClass.flagNeedsChecksum != 0 {
      guard checksums, hasChecksum(at: places) else { throw .checksum }
      return store(UInt32(NetworkClass.flagNeedsChecksum), places & 0xFFFF_FFFF_0000)
    }
    store(checksums ? UInt32(flags) : 0, 0)
  }

  /// A frame of the outlet, as the device gets it.
  /// - Parameter largest: bytes of the largest frame on the wire.
  /// - Returns: whether the device cuts it into segments.
  @inline(__always)
  func release(_ features: Features, largest: Int) throws(FrameRefusal) -> Bool {
    guard length >= NetworkClass.minimumFrame else { throw .length }
    let (kinds, places) = load()
    let kind = UInt8(truncatingIfNeeded: kinds >> 8)
    let needsChecksum = UInt8(truncatingIfNeeded: kinds) & NetworkClass.flagNeedsChecksum != 0
    if needsChecksum {
      guard features.contains(.checksum), hasChecksum(at: places) else { throw .checksum }
    }
    guard kind != NetworkClass.Segmentation.none.rawValue else {
      guard length <= largest else { throw .length }
      // Nothing but this flag is the driver's to set: section 5.1.6.2.1.
      if needsChecksum {
        store(UInt32(NetworkClass.flagNeedsChecksum), places & 0xFFFF_FFFF_0000)
      } else {
        store(0, 0)
      }
      return false
    }
    guard needsChecksum, places >> 32 & 0xFFFF == 16, length <= NetworkClass.maximumSegmentedFrame else {
      throw .segmentation
    }
    guard kind & NetworkClass.segmentationECN == 0 || features.contains(.hostECN) else { throw .segmentation }
    switch NetworkClass.Segmentation(rawValue: kind & ~NetworkClass.segmentationECN) {
    case .tcp4: guard features.contains(.hostTSO4) else { throw .segmentation }
    case .tcp6: guard features.contains(.hostTSO6) else { throw .segmentation }
    default: throw .segmentation
    }
    let start = Int(places >> 16 & 0xFFFF)
    guard start + 20 <= length else { throw .segmentation }
    // The outlet's hint of the headers' length may be wrong; a device may rely on it.
    let headers = start + Int((frame + start + 12).load(as: UInt8.self) >> 4) * 4
    let size = Int(places & 0xFFFF)
    guard headers >= start + 20, headers < length, size > 0, headers + size <= largest else { throw .segmentSize }
    store(
      UInt32(NetworkClass.flagNeedsChecksum) | UInt32(kind) << 8 | UInt32(headers) << 16, places & 0xFFFF_FFFF_FFFF)
    return true
  }
}
