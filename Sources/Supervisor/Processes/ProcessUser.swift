import PCI

/// The users that brokers and drivers become: numbers of their own for each device, of nobody else.
///
/// From 1879048192 on, which systemd's scheme of user ids leaves alone (https://systemd.io/UIDS-GIDS); two for each
/// requester id, 131072 for each of 256 segments.
enum ProcessUser {
  private static let base: UInt32 = 0x7000_0000

  static func broker(of address: PCIAddress) -> UInt32 { base + slot(address) }
  static func driver(of address: PCIAddress) -> UInt32 { base + slot(address) + 1 }

  private static func slot(_ address: PCIAddress) -> UInt32 {
    let segment = (address.domain ^ address.domain >> 16) & 0xff
    let requester = UInt32(address.bus) << 8 | UInt32(address.device) << 3 | UInt32(address.function)
    return segment << 17 | requester << 1
  }
}
