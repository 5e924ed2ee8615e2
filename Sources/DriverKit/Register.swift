/// A device register: its offset in the BAR, and its width as a type.
///
///     /// Controller status, NVMe 2.0 section 3.1.3.6.
///     static let status = Register<UInt32>(0x1c)
public struct Register<Value: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable, Hashable {
  /// Bytes from the beginning of the BAR.
  public let offset: Int

  public init(_ offset: Int) {
    precondition(offset >= 0 && offset % MemoryLayout<Value>.size == 0, "a register is aligned to its width")
    self.offset = offset
  }
}
