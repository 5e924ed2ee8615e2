import PCI

/// What an open file is called while systemd keeps it (`FDNAME=`): `KIND/ADDRESS/NUMBER`, with hyphens for the colons of
/// the address, since systemd's names have none. `tap/0000-03-00.0/1` is the second queue of the interface of 0000:03:00.0.
struct StoredFile: Hashable, CustomStringConvertible {
  enum Kind: String, CaseIterable {
    /// A queue of a network device's interface.
    case tap
    /// The socket on which NBD clients are waited for; its number is 0.
    case nbd
  }

  var kind: Kind
  var address: PCIAddress
  var number: Int

  init(_ kind: Kind, of address: PCIAddress, _ number: Int = 0) {
    self.kind = kind
    self.address = address
    self.number = number
  }

  /// - Returns: nil for what ``description`` does not write.
  init?(name: String) {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3, let kind = Kind(rawValue: String(parts[0])), !parts[1].contains(":"),
      let address = PCIAddress(String(parts[1].map { $0 == "-" ? ":" : $0 })), let number = Int(parts[2])
    else { return nil }
    self.init(kind, of: address, number)
    guard description == name else { return nil }
  }

  var description: String { "\(kind.rawValue)/\(String("\(address)".map { $0 == ":" ? "-" : $0 }))/\(number)" }
}
