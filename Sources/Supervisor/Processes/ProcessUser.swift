import Glibc
import PCI

/// The users that brokers and drivers become: numbers of their own for each device, of nobody else.
///
/// From 1879048192 on, which systemd's scheme of user ids leaves alone (https://systemd.io/UIDS-GIDS); two for each
/// requester id, 131072 for each of 256 segments. Every bulkheadd has emulated devices of the same addresses, and a user's
/// processes are counted together: their users come from a range of their own, 512 for each daemon.
enum ProcessUser {
  private static let base: UInt32 = 0x7000_0000
  private static let emulated: UInt32 = 256 << 17
  private static let emulatedDomain = 0xffff
  private static let count: UInt32 = emulated + 1 << 26

  static func broker(of address: PCIAddress) -> UInt32 { base + slot(address) }
  static func driver(of address: PCIAddress) -> UInt32 { base + slot(address) + 1 }

  /// Whether we can make processes theirs: as root, but not as the root of a user namespace that has no such users.
  static var canBeGiven: Bool {
    geteuid() == 0 && areMapped(by: FileText.contents("/proc/self/uid_map") ?? "")
  }

  /// Whether a user namespace has all of them, from the text of its uid_map (user_namespaces(7)).
  static func areMapped(by text: String) -> Bool {
    text.split(separator: "\n").contains { line in
      let numbers = line.split(separator: " ").compactMap { UInt64($0) }
      guard numbers.count == 3 else { return false }
      return numbers[0] <= UInt64(base) && numbers[0] + numbers[2] >= UInt64(base) + UInt64(count)
    }
  }

  private static func slot(_ address: PCIAddress) -> UInt32 {
    if Int(address.domain) == emulatedDomain {
      return emulated + UInt32(getpid() & 0x1FFFF) << 9 + UInt32(address.bus) << 1
    }
    let segment = (address.domain ^ address.domain >> 16) & 0xff
    let requester = UInt32(address.bus) << 8 | UInt32(address.device) << 3 | UInt32(address.function)
    return segment << 17 | requester << 1
  }
}
