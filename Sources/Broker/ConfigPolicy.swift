/// One permitted use of configuration space.
struct ConfigRule: Equatable, Sendable {
  /// What the offsets are relative to.
  enum Base: Hashable, Sendable {
    /// The header (PCI 3.0 section 6.1).
    case header
    /// Every capability of the list that begins at 0x34 (PCI 3.0 section 6.7).
    case anyCapability
    /// The capability with this id.
    case capability(UInt8)
    /// Every extended capability of the list that begins at 0x100 (PCIe 4.0 section 7.6).
    case anyExtended
    /// The extended capability with this id.
    case extended(UInt16)
    /// The vendor-specific capabilities of a virtio device, those of one type or all (virtio 1.2 section 4.1.4).
    case virtio(VirtioStructure?)
  }

  /// `cfg_type` of a virtio capability. VIRTIO_PCI_CAP_PCI_CFG, 5, is a window to the BARs: its data register is on no list.
  enum VirtioStructure: UInt8, Sendable {
    case notify = 2
  }

  var base: Base
  /// Bytes from the base; an access must lie in it whole.
  var offsets: Range<Int>
  /// 0: read only. Otherwise the rule permits a write of exactly these offsets with no bit outside the mask, and nothing
  /// else.
  var writeMask: UInt32 = 0
  var reason: String
}

/// All that a driver may do to configuration space, in one table. Whatever is not here is refused with EPERM and counted.
///
/// Left out on purpose, for reading too where the value would tell of the machine: BARs and the expansion ROM (0x10-0x27,
/// 0x30), writes to the command register (bus master and INTx are the broker's), MSI and MSI-X beyond their header (where
/// interrupts go), power management, ATS, PASID, PRI and ACS (what the IOMMU relies on), bridge registers, vital product
/// data and vendor-specific capabilities (they can be windows to anything), but for those of virtio that say where the
/// device's registers are.
enum ConfigPolicy {
  static let pciExpress: UInt8 = 0x10
  static let vendorSpecific: UInt8 = 0x09
  /// The vendor of all virtio devices (virtio 1.2 section 4.1.2).
  static let virtioVendor: UInt32 = 0x1AF4
  static let advancedErrorReporting: UInt16 = 0x0001
  static let serialNumber: UInt16 = 0x0003

  /// The status register's error bits 8 and 11 to 15, cleared by writing ones (PCI 3.0 section 6.2.3).
  static let statusErrors: UInt32 = 0xF900
  /// Device status bits 0 to 3: errors detected, cleared by writing ones (PCIe 4.0 section 7.5.3.5).
  static let deviceStatusErrors: UInt32 = 0x000F

  static let rules: [ConfigRule] = [
    ConfigRule(base: .header, offsets: 0x00..<0x10, reason: "ids, command, status, class, revision, header type"),
    ConfigRule(base: .header, offsets: 0x2C..<0x30, reason: "subsystem ids choose quirks"),
    ConfigRule(base: .header, offsets: 0x34..<0x35, reason: "start of the capability list"),
    ConfigRule(base: .anyCapability, offsets: 0..<2, reason: "id and next: walk the list"),
    ConfigRule(base: .capability(pciExpress), offsets: 0..<0x3C, reason: "link speed and width, payload size, errors"),
    ConfigRule(base: .anyExtended, offsets: 0..<4, reason: "id, version and next: walk the list"),
    ConfigRule(base: .extended(serialNumber), offsets: 0..<0x0C, reason: "the device's serial number"),
    ConfigRule(
      base: .extended(advancedErrorReporting), offsets: 0x04..<0x2C, reason: "which bus errors there were, for the log"),
    ConfigRule(
      base: .virtio(nil), offsets: 0..<0x10, reason: "in which BAR, and where, a virtio device has its registers"),
    ConfigRule(base: .virtio(.notify), offsets: 0x10..<0x14, reason: "how far apart its notify registers are"),
    ConfigRule(
      base: .header, offsets: 0x06..<0x08, writeMask: statusErrors, reason: "clear error bits after they were logged"),
    ConfigRule(
      base: .capability(pciExpress), offsets: 0x0A..<0x0C, writeMask: deviceStatusErrors,
      reason: "clear error bits after they were logged"),
  ]

  /// The table as a page of Markdown.
  static var markdown: String {
    var page = "| of | offsets | access | reason |\n| --- | --- | --- | --- |\n"
    for rule in rules {
      let first = String(rule.offsets.lowerBound, radix: 16)
      let last = String(rule.offsets.upperBound - 1, radix: 16)
      let access = rule.writeMask == 0 ? "read" : "write, bits 0x\(String(rule.writeMask, radix: 16))"
      page += "| `\(rule.base)` | 0x\(first)-0x\(last) | \(access) | \(rule.reason) |\n"
    }
    return page
  }
}
