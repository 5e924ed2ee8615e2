/// Builds the answers of info ioctls, little-endian.
struct InfoBytes {
  var bytes: [UInt8] = []

  static func + (left: InfoBytes, right: InfoBytes) -> InfoBytes { InfoBytes(bytes: left.bytes + right.bytes) }

  static func u16(_ values: UInt16...) -> InfoBytes {
    InfoBytes(bytes: values.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] })
  }
  static func u32(_ values: UInt32...) -> InfoBytes {
    InfoBytes(bytes: values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) } })
  }
  static func u64(_ values: UInt64...) -> InfoBytes {
    InfoBytes(bytes: values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) } })
  }

  static func words(_ values: [UInt32]) -> InfoBytes { values.reduce(InfoBytes()) { $0 + .u32($1) } }

  /// A capability header.
  static func capability(_ id: UInt16, next: UInt32) -> InfoBytes { u16(id, 1) + u32(next) }

  /// The fixed part of a region info: argsz, flags, index, cap_offset, size, offset.
  static func region(
    flags: UInt32, index: UInt32 = 0, capabilities: UInt32 = 0, size: UInt64, offset: UInt64 = 0
  ) -> InfoBytes {
    u32(0, flags, index, capabilities) + u64(size, offset)
  }
}

/// Flags of a region that can be read, written and mapped.
let mappable: UInt32 = 0x7
/// The same with a capability chain.
let mappableWithCapabilities: UInt32 = 0xf
