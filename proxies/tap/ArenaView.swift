import Protocol

/// A driver's DMA memory, as the addresses in its descriptors name it: by IOVA, and nothing outside of it.
///
/// The driver and its device write here whenever they like. What is read must be read once.
struct ArenaView {
  private let base: UnsafeMutableRawPointer
  private let size: UInt64

  init(_ memory: UnsafeMutableRawBufferPointer) {
    guard let base = memory.baseAddress else { preconditionFailure("a driver has an arena") }
    self.base = base
    size = UInt64(memory.count)
  }

  /// Where `length` bytes at `address` are in this process; nil if any of them is outside.
  @inline(__always)
  func pointer(_ address: UInt64, _ length: UInt32) -> UnsafeMutableRawPointer? {
    let offset = address &- AddressMap.arena
    guard address >= AddressMap.arena, offset <= size, UInt64(length) <= size - offset else { return nil }
    return base + Int(offset)
  }
}
