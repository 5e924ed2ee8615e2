import CBulkhead

/// A ring of descriptors, which the controller looked up when its direction was enabled (82574 datasheet 7.1.8 and 7.2.9).
struct E1000ERing {
  static let descriptorSize = 16

  /// Of the first register: RDBAL or TDBAL; 0: none was enabled.
  private(set) var base = 0
  private(set) var address: UInt64 = 0
  private(set) var entries = 0
  private(set) var head = 0

  init() {}

  init(_ registers: RegisterMemory, base: Int) {
    self.base = base
    address = registers.load64(base) & ~0xF
    // Bits 19:7 of the length count.
    entries = Int(registers.load(base + 0x08) & 0xFFF80) / Self.descriptorSize
    let head = Int(registers.load(base + 0x10) & 0xFFFF)
    self.head = head < entries ? head : 0
  }

  /// The tail that the driver has written; nil: no place in the ring.
  @inline(__always)
  func tail(_ registers: RegisterMemory) -> Int? {
    guard base != 0 else { return nil }
    let tail = Int(registers.load(base + 0x18) & 0xFFFF)
    return tail < entries ? tail : nil
  }

  /// Descriptors that the controller has.
  @inline(__always)
  func available(_ registers: RegisterMemory) -> Int {
    guard let tail = tail(registers) else { return 0 }
    return tail >= head ? tail - head : tail + entries - head
  }

  @inline(__always)
  func place(_ index: Int) -> UInt64 { address &+ UInt64(index * Self.descriptorSize) }

  /// The descriptor at the head is done with.
  @inline(__always)
  mutating func advance(_ registers: RegisterMemory) {
    head = head + 1 == entries ? 0 : head + 1
    registers.store(base + 0x10, UInt32(head))
  }
}
