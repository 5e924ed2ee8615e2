import Platform
import VFIO

/// What a PCI function says that it is, and where its registers are.
struct FunctionDescription {
  var vendor: UInt16
  var device: UInt16
  var subsystemVendor: UInt16
  var subsystem: UInt16
  var revision: UInt8 = 0
  /// Class, subclass and interface (PCI 3.0 appendix D).
  var classCode: UInt32
  /// The bits of BAR 0 that say its kind (PCI 3.0 section 6.2.5.1), and its bytes.
  var barKind: UInt32
  var barSize: Int
  /// Bytes of BAR 0, from its start, that a driver may map.
  var mappedSize: Int
  /// The BAR that holds the MSI-X table and the pending bits, where they are there, and its bytes.
  var tableBar: Int
  var tableBarSize: Int
  var tableOffset: Int
  var pendingOffset: Int
}

/// Configuration space of an emulated function, byte for byte (PCI 3.0 section 6.1, PCIe 4.0 section 7.5).
struct EmulatedConfigSpace {
  /// 4096 bytes: PCI Express has them. The extended list is empty.
  static let size = 4096

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

  init(_ function: FunctionDescription, vectors: Int) {
    put(0x00, .word, UInt32(function.vendor))
    put(0x02, .word, UInt32(function.device))
    put(0x06, .word, 0x0010)  // status: capability list
    put(0x08, .dword, function.classCode << 8 | UInt32(function.revision))
    put(0x10, .dword, function.barKind)
    put(0x2C, .word, UInt32(function.subsystemVendor))
    put(0x2E, .word, UInt32(function.subsystem))
    put(0x34, .byte, UInt32(Offset.pciExpress))
    // PCI Express capability (7.5.3): version 2, endpoint, FLR; link 8 GT/s, 4 lanes.
    put(Offset.pciExpress, .word, 0x10 | UInt32(Offset.msix) << 8)
    put(Offset.pciExpress + 0x02, .word, 0x0002)
    put(Offset.pciExpress + 0x04, .dword, 1 << 28 | 1 << 15)
    put(Offset.pciExpress + 0x0C, .dword, 0x43)
    put(Offset.pciExpress + 0x12, .word, 0x43)
    // MSI-X (PCI 3.0 section 6.8.2): the BAR of table and pending bits is in the lowest three bits.
    put(Offset.msix, .word, 0x11)
    put(Offset.msix + 2, .word, UInt32(vectors - 1))
    put(Offset.msix + 4, .dword, UInt32(function.tableOffset | function.tableBar))
    put(Offset.msix + 8, .dword, UInt32(function.pendingOffset | function.tableBar))
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
