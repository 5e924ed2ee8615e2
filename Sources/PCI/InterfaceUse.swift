import Platform

/// Finds out which network interfaces hang on a PCI device and who uses them.
struct InterfaceUse {
  let tree: KernelTree
  let probe: any HostProbe

  private static let up: UInt64 = 0x1  // IFF_UP

  func interfaces(of address: PCIAddress) -> [String] {
    guard let root = tree.resolved("bus/pci/devices/\(address)") else { return [] }
    return tree.names("class/net").filter { tree.resolved("class/net/\($0)")?.hasPrefix(root + "/") == true }
  }

  func refusals(for device: PCIDevice) -> [Refusal] {
    interfaces(of: device.address).flatMap { name -> [Refusal] in
      var found: [Refusal] = []
      if let master = tree.linkName("class/net/\(name)/master") {
        found.append(
          Refusal(
            code: "interface-enslaved", message: "\(name) of \(device.summary) belongs to \(master)",
            hint: "ip link set \(name) nomaster, then try again", overridable: true))
      }
      let isUp = (tree.number("class/net/\(name)/flags") ?? 0) & InterfaceUse.up != 0
      let addresses = probe.addresses(ofInterface: name)
      // VLANs, macvlans and the like, whose addresses are their own, perhaps in another namespace.
      let uppers = tree.names("class/net/\(name)").filter { $0.hasPrefix("upper_") }.map { String($0.dropFirst(6)) }
      var use: String?
      if !addresses.isEmpty {
        use = "is up with \(addresses.joined(separator: ", "))"
      } else if found.isEmpty, !uppers.isEmpty {
        use = "is up, and carries \(uppers.sorted().joined(separator: ", "))"
      }
      if isUp, let use {
        found.append(
          Refusal(
            code: "interface-in-use", message: "\(name) of \(device.summary) \(use)",
            hint: "ip link set \(name) down, then try again", overridable: true))
      }
      return found
    }
  }
}
