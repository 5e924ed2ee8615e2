/// Words in BAR 0 of an emulated device through which a driver has the device itself perform an access to a register.
///
/// Registers of an emulated device are memory, and a device does not see that memory is read, or written twice. Where
/// reading or writing *does* something (causes that reading clears, masks where a 1 sets), the device says so in
/// ``ranges``; the driver's side then puts the access into ``request``, rings the bell if that is wanted, and waits until
/// the device has taken it. A write need not be waited for: it is posted, and what comes next waits until it was taken, so
/// that all accesses happen in order, as on PCIe.
///
/// There is room for one access, since a driver has one thread. All words read as ones from a device that does not answer.
public enum RegisterTrap {
  /// Two words, each a range: the number of its first double word in bits 15:0, that of the first one behind it in bits
  /// 31:16; 0: no range.
  public static let ranges = 0x1FE0
  public static let rangeCount = 2
  /// ``isBusy``, ``isWrite``, and the offset of the register in bits 17:0, a multiple of 4. The driver's side sets it; the
  /// device sets it to 0 when it has taken the access.
  public static let request = 0x1FE8
  /// What is written, or what was read.
  public static let data = 0x1FEC

  public static let isBusy: UInt32 = 1 << 31
  public static let isWrite: UInt32 = 1 << 30
  public static let offsetMask: UInt32 = 0x3FFFF

  /// The word for a range of offsets, which are multiples of 4.
  public static func range(_ offsets: Range<Int>) -> UInt32 {
    UInt32(offsets.lowerBound >> 2) | UInt32(offsets.upperBound >> 2) << 16
  }

  /// Whether the word of a range has `offset` in it.
  @inline(__always)
  public static func range(_ word: UInt32, contains offset: Int) -> Bool {
    let number = UInt32(truncatingIfNeeded: offset >> 2)
    return word != .max && number >= word & 0xFFFF && number < word >> 16
  }
}
