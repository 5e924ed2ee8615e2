import Glibc

/// A piece of DMA memory: where the driver sees it and where the device does.
public struct DMAMemory {
  public let pointer: UnsafeMutableRawPointer
  /// The device's address of the first byte (IOVA).
  public let address: UInt64
  /// Bytes.
  public let length: Int

  public init(pointer: UnsafeMutableRawPointer, address: UInt64, length: Int) {
    self.pointer = pointer
    self.address = address
    self.length = length
  }

  public func zero() { memset(pointer, 0, length) }

  /// The `length` bytes from `offset`, which must lie inside.
  public func slice(_ offset: Int, _ length: Int) -> DMAMemory {
    precondition(offset >= 0 && length >= 0 && offset <= self.length - length, "slice outside the DMA memory")
    return DMAMemory(pointer: pointer + offset, address: address + UInt64(offset), length: length)
  }
}

/// The driver's DMA memory, given out piece by piece and never taken back: a driver asks for all it needs when it
/// starts. The broker made it zeroed for this driver alone.
public struct Arena {
  private let memory: DMAMemory
  private var used = 0

  public init(_ memory: DMAMemory) { self.memory = memory }

  /// Bytes not yet given out.
  public var available: Int { memory.length - used }

  /// Zeroed memory, contiguous for the device too.
  /// - Parameter alignment: of the device's address, in bytes; a power of two, a page unless said otherwise.
  /// - Throws: ``FailureCode/resources`` when the arena is used up.
  public mutating func allocate(
    _ length: Int, alignment: Int = pageSize, for purpose: String
  ) throws(DriverFailure) -> DMAMemory {
    precondition(length > 0 && alignment > 0 && alignment & (alignment - 1) == 0)
    let address = (memory.address + UInt64(used) + UInt64(alignment - 1)) & ~UInt64(alignment - 1)
    let offset = Int(address - memory.address)
    guard offset <= memory.length, length <= memory.length - offset else {
      throw DriverFailure(
        .resources, "\(length) bytes of DMA memory for \(purpose), but only \(available) of \(memory.length) are left")
    }
    used = offset + length
    return memory.slice(offset, length)
  }
}
