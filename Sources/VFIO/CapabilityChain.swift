import Platform

/// One capability in the answer of a VFIO info ioctl (`struct vfio_info_cap_header`).
struct InfoCapability: Equatable {
  var id: UInt16
  var version: UInt16
  /// Where its contents begin, after the header of 8 bytes, from the start of the answer.
  var contents: Int
}

/// Walks the chain of capabilities behind the fixed part of an info structure.
///
/// Each header is `u16 id, u16 version, u32 next`, where `next` counts from the start of the answer and 0 ends the chain.
/// The kernel is trusted, its layout over the years is not: every offset is checked before it is used.
enum CapabilityChain {
  private static let headerSize = 8

  /// - Parameters:
  ///   - bytes: the whole answer.
  ///   - first: its `cap_offset`; 0 for none.
  ///   - fixedSize: the size of the fixed part, which no capability may overlap.
  /// - Throws: `vfio-capabilities` for an offset out of bounds, out of alignment, or seen before.
  static func parse(_ bytes: [UInt8], first: UInt32, fixedSize: Int) throws(Failure) -> [InfoCapability] {
    var capabilities: [InfoCapability] = []
    var seen: Set<UInt32> = []
    var offset = first
    while offset != 0 {
      let start = Int(offset)
      guard start >= fixedSize, start % 4 == 0, start <= bytes.count - headerSize, seen.insert(offset).inserted else {
        throw Failure("vfio-capabilities", "follow the capability chain to offset \(offset) of \(bytes.count) bytes")
      }
      capabilities.append(
        InfoCapability(id: bytes.u16(start), version: bytes.u16(start + 2), contents: start + headerSize))
      offset = bytes.u32(start + 4)
    }
    return capabilities
  }
}

extension [UInt8] {
  /// Little-endian loads; the caller has checked the bounds, and the array checks again.
  func u16(_ at: Int) -> UInt16 { UInt16(self[at]) | UInt16(self[at + 1]) << 8 }
  func u32(_ at: Int) -> UInt32 { UInt32(u16(at)) | UInt32(u16(at + 2)) << 16 }
  func u64(_ at: Int) -> UInt64 { UInt64(u32(at)) | UInt64(u32(at + 4)) << 32 }

  /// Whether `count` records of `size` bytes fit behind `at`.
  func holds(_ count: UInt32, of size: Int, at: Int) -> Bool {
    at <= self.count && Int(count) <= (self.count - at) / size
  }
}
