import Platform
import VFIO

/// Decides on a driver's accesses to configuration space: the rules of ``ConfigPolicy`` at the places where this device
/// has its capabilities.
struct ConfigFilter {
  private struct Window {
    var offsets: Range<Int>
    var writeMask: UInt32
  }

  private var windows: [Window] = []

  /// Walks the device's capability lists, once.
  init(rules: [ConfigRule] = ConfigPolicy.rules, read: (Int, ConfigWidth) throws(Failure) -> UInt32) throws(Failure) {
    let capabilities = try CapabilityList.standard(read: read)
    // Devices without PCI Express have 256 bytes and nothing to extend.
    let extended =
      capabilities.contains { $0.id == UInt16(ConfigPolicy.pciExpress) } ? try CapabilityList.extended(read: read) : []
    let virtio = try Self.virtioStructures(capabilities, read: read)
    for rule in rules {
      for base in Self.bases(rule.base, capabilities, extended, virtio) {
        // Capabilities differ in length with their version: none reaches into the next one.
        let next = (capabilities + extended).map(\.offset).filter { $0 > base }.min() ?? .max
        let end = rule.base == .header ? base + rule.offsets.upperBound : min(base + rule.offsets.upperBound, next)
        guard base + rule.offsets.lowerBound < end else { continue }
        windows.append(Window(offsets: base + rule.offsets.lowerBound..<end, writeMask: rule.writeMask))
      }
    }
  }

  /// The vendor-specific capabilities with their types, if this is a virtio device.
  private static func virtioStructures(
    _ standard: [Capability], read: (Int, ConfigWidth) throws(Failure) -> UInt32
  ) throws(Failure) -> [(kind: UInt8, offset: Int)] {
    guard try read(0x00, .word) == ConfigPolicy.virtioVendor else { return [] }
    var structures: [(kind: UInt8, offset: Int)] = []
    for capability in standard where capability.id == UInt16(ConfigPolicy.vendorSpecific) {
      structures.append((UInt8(truncatingIfNeeded: try read(capability.offset + 3, .byte)), capability.offset))
    }
    return structures
  }

  private static func bases(
    _ base: ConfigRule.Base, _ standard: [Capability], _ extended: [Capability], _ virtio: [(kind: UInt8, offset: Int)]
  ) -> [Int] {
    switch base {
    case .header: [0]
    case .anyCapability: standard.map(\.offset)
    case .capability(let id): standard.filter { $0.id == UInt16(id) }.map(\.offset)
    case .anyExtended: extended.map(\.offset)
    case .extended(let id): extended.filter { $0.id == id }.map(\.offset)
    case .virtio(let kind): virtio.filter { kind == nil || $0.kind == kind?.rawValue }.map(\.offset)
    }
  }

  /// Whether `width` bytes at `offset` may be read. Accesses are naturally aligned.
  func permitsRead(offset: Int, width: ConfigWidth) -> Bool {
    guard offset % width.rawValue == 0 else { return false }
    let access = offset..<offset + width.rawValue
    return windows.contains { $0.writeMask == 0 && $0.offsets.contains(access) }
  }

  /// Whether `value` may be written.
  func permitsWrite(offset: Int, width: ConfigWidth, value: UInt32) -> Bool {
    windows.contains {
      $0.writeMask != 0 && $0.offsets == offset..<offset + width.rawValue && value & ~$0.writeMask == 0
    }
  }
}

extension Range where Bound == Int {
  fileprivate func contains(_ other: Range<Int>) -> Bool {
    lowerBound <= other.lowerBound && other.upperBound <= upperBound
  }
}

/// Where a capability is.
struct Capability: Equatable {
  var id: UInt16
  var offset: Int
}

/// Walks of the capability lists. The device is not trusted: a list that bites its tail or leaves its room ends.
enum CapabilityList {
  /// PCI 3.0 section 6.7: byte 0 id, byte 1 next, behind the header, multiples of 4.
  static func standard(read: (Int, ConfigWidth) throws(Failure) -> UInt32) throws(Failure) -> [Capability] {
    // Status bit 4: there is a list.
    guard try read(0x06, .word) & 0x10 != 0 else { return [] }
    var list: [Capability] = []
    var offset = Int(try read(0x34, .byte)) & 0xFC
    while offset >= 0x40, list.count < 48, !list.contains(where: { $0.offset == offset }) {
      let header = try read(offset, .word)
      guard header != 0xFFFF else { break }
      list.append(Capability(id: UInt16(header & 0xFF), offset: offset))
      offset = Int(header >> 8) & 0xFC
    }
    return list
  }

  /// PCIe 4.0 section 7.6.3: bits 0-15 id, 16-19 version, 20-31 next.
  static func extended(read: (Int, ConfigWidth) throws(Failure) -> UInt32) throws(Failure) -> [Capability] {
    var list: [Capability] = []
    var offset = 0x100
    while offset >= 0x100, offset <= 0xFFC, list.count < 64, !list.contains(where: { $0.offset == offset }) {
      let header = try read(offset, .dword)
      guard header != 0, header != .max else { break }
      list.append(Capability(id: UInt16(header & 0xFFFF), offset: offset))
      offset = Int(header >> 20) & 0xFFC
    }
    return list
  }
}
