import DriverKit
import Glibc

/// Zeroed memory that a device reaches at `address`.
public final class FakeMemory {
  public let pointer: UnsafeMutableRawPointer
  public let address: UInt64
  public let length: Int

  public init(address: UInt64, length: Int) {
    pointer = .allocate(byteCount: length, alignment: 4096)
    pointer.initializeMemory(as: UInt8.self, repeating: 0, count: length)
    self.address = address
    self.length = length
  }

  deinit { pointer.deallocate() }

  public var dma: DMAMemory { DMAMemory(pointer: pointer, address: address, length: length) }

  /// `length` bytes at a device's `address`; nil if they do not lie in this memory.
  public func find(_ address: UInt64, _ length: Int) -> UnsafeMutableRawPointer? {
    guard address >= self.address, address - self.address <= UInt64(self.length - length) else { return nil }
    return pointer + Int(address - self.address)
  }
}
