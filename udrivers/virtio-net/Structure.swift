import DriverKit

/// One structure of the device, in a BAR: what a capability of virtio 1.2 section 4.1.4 describes. What it says comes from
/// the device and is checked against what was granted.
struct Structure: Equatable, Sendable {
  var bar: Int
  /// Bytes from the beginning of the BAR.
  var offset: Int
  var length: Int
  /// Only of the notify structure: bytes from one queue's register to the next; 0: all have the same one.
  var multiplier: Int = 0

  static let vendorSpecific: UInt8 = 0x09

  /// Walks the list of capabilities; of several structures of a kind the first one counts, as the specification asks, of
  /// those that lie in a BAR that there can be.
  /// - Parameter read: reads config space at an offset, so many bytes.
  /// - Throws: what `read` throws.
  static func find(
    _ read: (UInt16, UInt8) throws(DriverFailure) -> UInt32
  ) throws(DriverFailure) -> [StructureKind: Structure] {
    var found: [StructureKind: Structure] = [:]
    // PCI 3.0 section 6.7: bit 4 of the status register, then a list that begins at 0x34. A list without end ends here.
    guard try read(0x06, 2) & 0x10 != 0 else { return found }
    var place = UInt16(try read(0x34, 1) & 0xFC)
    for _ in 0..<48 where place >= 0x40 {
      let header = try read(place, 2)
      if UInt8(truncatingIfNeeded: header) == vendorSpecific,
        let (kind, structure) = try readCapability(place, read), found[kind] == nil
      {
        found[kind] = structure
      }
      place = UInt16(header >> 8 & 0xFC)
    }
    return found
  }

  private static func readCapability(
    _ place: UInt16, _ read: (UInt16, UInt8) throws(DriverFailure) -> UInt32
  ) throws(DriverFailure) -> (StructureKind, Structure)? {
    // cap_len, cfg_type, bar; offset and length are 32-bit words at 8 and 12.
    let length = try read(place + 2, 1)
    guard let kind = StructureKind(rawValue: UInt8(truncatingIfNeeded: try read(place + 3, 1))),
      length >= (kind == .notify ? 20 : 16)
    else { return nil }
    let bar = Int(try read(place + 4, 1))
    guard bar < 6 else { return nil }
    var structure = Structure(bar: bar, offset: Int(try read(place + 8, 4)), length: Int(try read(place + 12, 4)))
    if kind == .notify { structure.multiplier = Int(try read(place + 16, 4)) }
    return (kind, structure)
  }
}

/// The registers of one structure, in the granted part of its BAR.
struct StructureRegisters {
  private let bar: Bar
  private let base: Int

  /// - Parameter length: bytes that are used, so that they must be there.
  /// - Throws: ``FailureCode/unsupported`` where the structure is too small or not aligned; ``FailureCode/resources``
  ///   where it is outside the granted ranges.
  init(_ structure: Structure?, _ kind: StructureKind, length: Int, _ device: Device) throws(DriverFailure) {
    guard let structure else {
      throw DriverFailure(
        .unsupported, "there is no capability of a \(kind) structure: the modern interface is missing")
    }
    guard structure.length >= length, structure.offset % 4 == 0 else {
      throw DriverFailure(
        .unsupported, "the \(kind) structure, \(structure.length) bytes at \(structure.offset), cannot be used")
    }
    bar = try device.bar(structure.bar)
    base = structure.offset
    guard bar.covers(base, length) else {
      throw DriverFailure(.resources, "the \(kind) structure is outside the granted range of BAR \(structure.bar)")
    }
  }

  func read8(_ offset: Int) -> UInt8 { bar.read(Register<UInt8>(base + offset)) }
  func read16(_ offset: Int) -> UInt16 { bar.read(Register<UInt16>(base + offset)) }
  func read32(_ offset: Int) -> UInt32 { bar.read(Register<UInt32>(base + offset)) }
  func write8(_ offset: Int, _ value: UInt8) { bar.write(Register<UInt8>(base + offset), value) }
  func write16(_ offset: Int, _ value: UInt16) { bar.write(Register<UInt16>(base + offset), value) }
  func write32(_ offset: Int, _ value: UInt32) { bar.write(Register<UInt32>(base + offset), value) }
  /// Registers of 64 bits are two of 32 for the device: virtio 1.2 section 4.1.3.1.
  func write64(_ offset: Int, _ value: UInt64) {
    write32(offset, UInt32(truncatingIfNeeded: value))
    write32(offset + 4, UInt32(truncatingIfNeeded: value >> 32))
  }
}
