import Glibc
import Platform

/// Configuration space as a region of the device file.
struct ConfigSpace {
  let file: Int32
  /// Where it begins in the file.
  let fileOffset: UInt64
  /// Bytes: 256, or 4096 for PCI Express.
  let size: UInt64

  /// Offsets of the PCI header (PCI 3.0 section 6.1).
  enum Offset {
    static let command = 0x04
  }

  /// Bits of the command register (PCI 3.0 section 6.2.2).
  enum Command {
    static let memoryEnable: UInt32 = 1 << 1
    static let busMaster: UInt32 = 1 << 2
  }

  /// Accesses are naturally aligned, so none of them straddles two registers.
  func check(offset: Int, width: ConfigWidth) throws(Failure) {
    guard offset >= 0, offset % width.rawValue == 0, UInt64(offset) + UInt64(width.rawValue) <= size else {
      throw Failure("vfio-config", "access \(width.rawValue) bytes at 0x\(String(offset, radix: 16)) of \(size)")
    }
  }

  func read(offset: Int, width: ConfigWidth) throws(Failure) -> UInt32 {
    try check(offset: offset, width: width)
    var value: UInt32 = 0
    let got = pread(file, &value, width.rawValue, off_t(fileOffset) + off_t(offset))
    guard got == width.rawValue else { throw failure("read", offset, width, got) }
    return UInt32(littleEndian: value)
  }

  func write(offset: Int, width: ConfigWidth, value: UInt32) throws(Failure) {
    try check(offset: offset, width: width)
    guard width == .dword || value >> UInt32(8 * width.rawValue) == 0 else {
      throw Failure("vfio-config", "write 0x\(String(value, radix: 16)) into \(width.rawValue) bytes")
    }
    var bytes = value.littleEndian
    let put = pwrite(file, &bytes, width.rawValue, off_t(fileOffset) + off_t(offset))
    guard put == width.rawValue else { throw failure("write", offset, width, put) }
  }

  /// Sets or clears bits of the command register and reads them back.
  func setCommand(_ bit: UInt32, _ enabled: Bool) throws(Failure) {
    let before = try read(offset: Offset.command, width: .word)
    let wanted = enabled ? before | bit : before & ~bit
    if wanted != before { try write(offset: Offset.command, width: .word, value: wanted) }
    let after = try read(offset: Offset.command, width: .word)
    guard after & bit == wanted & bit else {
      throw Failure(
        "vfio-config", "command register is 0x\(String(after, radix: 16)) after 0x\(String(wanted, radix: 16))")
    }
  }

  private func failure(_ verb: String, _ offset: Int, _ width: ConfigWidth, _ result: Int) -> Failure {
    Failure(
      "vfio-config", "\(verb) \(width.rawValue) bytes at 0x\(String(offset, radix: 16))",
      errno: result < 0 ? errno : EIO)
  }
}
