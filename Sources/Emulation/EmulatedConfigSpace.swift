import Platform
import VFIO

/// Configuration space of the emulated controller, byte for byte (PCI 3.0 section 6.1, PCIe 4.0 section 7.5).
struct EmulatedConfigSpace {
  /// 4096 bytes: PCI Express has them. The extended list is empty.
  static let size = 4096
  static let vendor: UInt16 = 0x1B36
  static let device: UInt16 = 0x0010

  enum Offset {
    static let command = 0x04
    static let pciExpress = 0x40
    static let msix = 0x7C
  }
  static let memoryEnable: UInt32 = 1 << 1
  static let busMaster: UInt32 = 1 << 2

  private var bytes = [UInt8](repeating: 0, count: size)
  /// Which bits a write changes.
  private var writable = [UInt8](repeating: 0, count: size)

  init(vectors: Int, tableOffset: Int, pendingOffset: Int) {
    put(0x00, .word, UInt32(Self.vendor))
    put(0x02, .word, UInt32(Self.device))
    put(0x06, .word, 0x0010)  // status: capability list
    put(0x08, .dword, 0x0108_0200)  // class 01 08 02, revision 0
    put(0x10, .dword, 0x0000_0004)  // BAR 0: memory, 64 bit
    put(0x2C, .word, UInt32(Self.vendor))
    put(0x2E, .word, UInt32(Self.device))
    put(0x34, .byte, UInt32(Offset.pciExpress))
    // PCI Express capability (7.5.3): version 2, endpoint, FLR; link 8 GT/s, 4 lanes.
    put(Offset.pciExpress, .word, 0x10 | UInt32(Offset.msix) << 8)
    put(Offset.pciExpress + 0x02, .word, 0x0002)
    put(Offset.pciExpress + 0x04, .dword, 1 << 28 | 1 << 15)
    put(Offset.pciExpress + 0x0C, .dword, 0x43)
    put(Offset.pciExpress + 0x12, .word, 0x43)
    // MSI-X (PCI 3.0 section 6.8.2): table and pending bits in BAR 0.
    put(Offset.msix, .word, 0x11)
    put(Offset.msix + 2, .word, UInt32(vectors - 1))
    put(Offset.msix + 4, .dword, UInt32(tableOffset))
    put(Offset.msix + 8, .dword, UInt32(pendingOffset))
    writable[Offset.command] = 0x06
    writable[Offset.command + 1] = 0x04
    writable[Offset.msix + 3] = 0xC0
  }

  /// - Throws: `emulated-config` for an access that is not naturally aligned in 4096 bytes.
  private func check(_ offset: Int, _ width: ConfigWidth) throws(Failure) {
    guard offset >= 0, offset % width.rawValue == 0, offset + width.rawValue <= Self.size else {
      throw Failure(
        "emulated-config", "access \(width.rawValue) bytes at 0x\(String(offset, radix: 16)) of \(Self.size)")
    }
  }

  func read(_ offset: Int, _ width: ConfigWidth) throws(Failure) -> UInt32 {
    try check(offset, width)
    var value: UInt32 = 0
    for index in 0..<width.rawValue { value |= UInt32(bytes[offset + index]) << UInt32(8 * index) }
    return value
  }

  mutating func write(_ offset: Int, _ width: ConfigWidth, _ value: UInt32) throws(Failure) {
    try check(offset, width)
    for index in 0..<width.rawValue {
      let mask = writable[offset + index]
      let byte = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
      bytes[offset + index] = bytes[offset + index] & ~mask | byte & mask
    }
  }

  private mutating func put(_ offset: Int, _ width: ConfigWidth, _ value: UInt32) {
    for index in 0..<width.rawValue { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
  }

  /// The command register (PCI 3.0 section 6.2.2).
  var command: UInt32 {
    get { UInt32(bytes[Offset.command]) | UInt32(bytes[Offset.command + 1]) << 8 }
    set { put(Offset.command, .word, newValue & 0x0406) }
  }
}
