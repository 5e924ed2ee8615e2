import Protocol

/// The NVM: 64 words (82574 datasheet 6.1).
enum E1000ENVM {
  /// Of all 64 words (6.1.2.25).
  static let sum: UInt16 = 0xBABA

  /// A word; 0xFFFF, erased flash, behind the last one.
  static func word(_ number: Int, address: HardwareAddress) -> UInt16 {
    guard number < 63 else { return number == 63 ? checksum(address) : 0xFFFF }
    switch number {
    // The address, in the order of the wire from the lower octet on (6.1.1.1).
    case 0, 1, 2: return UInt16(address[2 * number]) | UInt16(address[2 * number + 1]) << 8
    // Image version: 2.1.3 (6.1.1.4).
    case 5: return 0x2103
    // Subsystem's and device's ids (6.1.1.6).
    case 11: return EmulatedE1000EBacking.description.subsystem
    case 12: return EmulatedE1000EBacking.description.subsystemVendor
    case 13: return EmulatedE1000EBacking.description.device
    default: return 0
    }
  }

  private static func checksum(_ address: HardwareAddress) -> UInt16 {
    (0..<63).reduce(sum) { $0 &- word($1, address: address) }
  }
}

/// The PHY's registers that are of interest (IEEE 802.3 clause 22.2.4; 82574 datasheet 8).
enum E1000EPHY {
  /// Negotiates, full duplex, 1000 Mb/s.
  static let initialControl: UInt16 = 0x1140
  static let powerDown: UInt16 = 1 << 11

  static func register(_ number: Int, control: UInt16, isUp: Bool) -> UInt16 {
    switch number {
    case 0: control
    // All of 10 and 100 Mb/s, extended status; negotiation complete and link while there is one.
    case 1: 0x7949 | (isUp ? 1 << 5 | 1 << 2 : 0)
    case 2: 0x0141
    case 3: 0x0CB1
    default: 0
    }
  }
}
