/// The capabilities of a function, parsed from its configuration space.
public struct Capabilities: Sendable, Equatable {
  /// One entry of the list: PCI 3.0 section 6.7, or PCI Express 4.0 section 7.6 for extended ones.
  public struct Entry: Sendable, Equatable {
    public var id: UInt16
    /// In configuration space, in bytes.
    public var offset: Int
    public var isExtended: Bool
  }

  /// All capabilities in the order of the lists.
  public var entries: [Entry] = []
  /// The lists point behind what could be read: without privilege the kernel shows 64 bytes.
  public var isTruncated = false
  public var msix: MSIXCapability?
  /// MSI is present.
  public var hasMSI = false
  /// Power management is present.
  public var hasPowerManagement = false
  public var express: ExpressCapability?
  public var accessControl: AccessControlServices?
  /// Conventional PCI "advanced features" with a function level reset (PCI AF ECN).
  public var hasAdvancedFeaturesReset = false

  /// The function can be reset on its own.
  public var hasFunctionLevelReset: Bool { express?.hasFunctionLevelReset == true || hasAdvancedFeaturesReset }

  public init() {}

  /// Identifiers (PCI Code and ID Assignment 1.11 sections 2 and 3).
  enum ID {
    static let powerManagement: UInt16 = 0x01
    static let msi: UInt16 = 0x05
    static let express: UInt16 = 0x10
    static let msix: UInt16 = 0x11
    static let advancedFeatures: UInt16 = 0x13
    static let accessControl: UInt16 = 0x0d
  }

  /// - Parameter config: as much as there is: 64, 256 or 4096 bytes. A device may write anything into it.
  public init(config: [UInt8]) {
    let space = ConfigBytes(config)
    guard let status = space.word(0x06), status & 0x10 != 0, let first = space.byte(0x34) else { return }
    var offset = Int(first & 0xfc)
    // As many as fit between the header and byte 256; more is a list that bites its tail.
    for _ in 0..<48 where offset >= 0x40 {
      guard let header = space.word(offset) else {
        isTruncated = true
        break
      }
      guard header != 0xffff else { break }
      add(Entry(id: header & 0xff, offset: offset, isExtended: false), space)
      offset = Int(header >> 8) & 0xfc
    }
    addExtended(space)
  }

  private mutating func addExtended(_ space: ConfigBytes) {
    guard express != nil, space.count > 256 else { return }
    var offset = 0x100
    for _ in 0..<480 where offset >= 0x100 {
      guard let header = space.dword(offset) else {
        isTruncated = true
        return
      }
      guard header != 0, header != 0xffff_ffff else { return }
      add(Entry(id: UInt16(header & 0xffff), offset: offset, isExtended: true), space)
      offset = Int(header >> 20) & 0xffc
    }
  }

  private mutating func add(_ entry: Entry, _ space: ConfigBytes) {
    guard !entries.contains(where: { $0.offset == entry.offset }) else { return }
    entries.append(entry)
    switch (entry.isExtended, entry.id) {
    case (false, ID.powerManagement): hasPowerManagement = true
    case (false, ID.msi): hasMSI = true
    case (false, ID.msix): msix = msix ?? MSIXCapability(space, entry.offset)
    case (false, ID.express): express = express ?? ExpressCapability(space, entry.offset)
    case (false, ID.advancedFeatures):
      // Capabilities byte: bit 0 transactions pending, bit 1 function level reset.
      hasAdvancedFeaturesReset = (space.byte(entry.offset + 3) ?? 0) & 0x03 == 0x03
    case (true, ID.accessControl): accessControl = accessControl ?? AccessControlServices(space, entry.offset)
    default: break
    }
  }
}

/// MSI-X (PCI 3.0 section 6.8.2).
public struct MSIXCapability: Sendable, Equatable {
  /// 1...2048.
  public var vectorCount: Int
  /// The BAR with the table, and its first byte there; 16 bytes a vector.
  public var tableBar: Int
  public var tableOffset: UInt32
  /// The BAR with the pending bits, and their first byte there.
  public var pendingBar: Int
  public var pendingOffset: UInt32

  /// The size of the table, in bytes.
  public var tableSize: Int { 16 * vectorCount }

  init?(_ space: ConfigBytes, _ offset: Int) {
    guard let control = space.word(offset + 2), let table = space.dword(offset + 4),
      let pending = space.dword(offset + 8)
    else { return nil }
    vectorCount = Int(control & 0x7ff) + 1
    tableBar = Int(table & 7)
    tableOffset = table & ~7
    pendingBar = Int(pending & 7)
    pendingOffset = pending & ~7
  }
}

/// PCI Express (PCI Express 4.0 section 7.5.3).
public struct ExpressCapability: Sendable, Equatable {
  /// Device/port type (section 7.5.3.2).
  public enum PortType: UInt8, Sendable {
    case endpoint = 0
    case legacyEndpoint = 1
    case rootPort = 4
    case switchUpstream = 5
    case switchDownstream = 6
    case expressToPCIBridge = 7
    case pciToExpressBridge = 8
    case rootComplexEndpoint = 9
    case rootComplexEventCollector = 10
  }

  /// `nil` for a type that the specification does not name.
  public var portType: PortType?
  /// Device capabilities bit 28.
  public var hasFunctionLevelReset: Bool

  init?(_ space: ConfigBytes, _ offset: Int) {
    guard let flags = space.word(offset + 2), let device = space.dword(offset + 4) else { return nil }
    portType = PortType(rawValue: UInt8(flags >> 4 & 0xf))
    hasFunctionLevelReset = device & 1 << 28 != 0
  }
}

/// Access Control Services (PCI Express 4.0 section 7.7.8).
public struct AccessControlServices: Sendable, Equatable {
  /// A service that isolation needs: without it a request of one device can reach another below the IOMMU.
  public enum Service: UInt16, Sendable, CaseIterable {
    case sourceValidation = 0x01
    case requestRedirect = 0x04
    case completionRedirect = 0x08
    case upstreamForwarding = 0x10

    /// As lspci writes it.
    public var shortName: String {
      switch self {
      case .sourceValidation: return "SV"
      case .requestRedirect: return "RR"
      case .completionRedirect: return "CR"
      case .upstreamForwarding: return "UF"
      }
    }
  }

  /// The capability register.
  public var capability: UInt16
  /// The control register.
  public var control: UInt16

  /// The services that are switched off.
  public var missing: [Service] { Service.allCases.filter { control & $0.rawValue == 0 } }

  init?(_ space: ConfigBytes, _ offset: Int) {
    guard let capability = space.word(offset + 4), let control = space.word(offset + 6) else { return nil }
    self.capability = capability
    self.control = control
  }
}

/// Little-endian loads from configuration space; `nil` behind its end.
struct ConfigBytes {
  private let bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }
  var count: Int { bytes.count }

  func byte(_ at: Int) -> UInt8? { bytes.indices.contains(at) ? bytes[at] : nil }
  func word(_ at: Int) -> UInt16? {
    guard let low = byte(at), let high = byte(at + 1) else { return nil }
    return UInt16(low) | UInt16(high) << 8
  }
  func dword(_ at: Int) -> UInt32? {
    guard let low = word(at), let high = word(at + 2) else { return nil }
    return UInt32(low) | UInt32(high) << 16
  }
}
