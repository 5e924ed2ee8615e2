import CBulkhead
import Platform

/// The part of BAR 0 that a driver maps, as memory: the device looks at it, nobody traps.
///
/// What a driver wrote into a read-only register stays there until the device next publishes it; the device itself never
/// believes what it reads there.
struct RegisterMemory {
  let base: UnsafeMutableRawPointer
  /// Bytes.
  let size: Int

  @inline(__always)
  func load(_ offset: Int) -> UInt32 { bh_load32(base + offset) }

  func load64(_ offset: Int) -> UInt64 { UInt64(load(offset)) | UInt64(load(offset + 4)) << 32 }

  @inline(__always)
  func store(_ offset: Int, _ value: UInt32) { bh_store32(base + offset, value) }

  func store64(_ offset: Int, _ value: UInt64) {
    store(offset, UInt32(truncatingIfNeeded: value))
    store(offset + 4, UInt32(value >> 32))
  }

  func fill(_ byte: UInt8, from offset: Int = 0) {
    (base + offset).initializeMemory(as: UInt8.self, repeating: byte, count: size - offset)
  }
}
