/// Whether a bridge on the way from a device to the root keeps requests of its children apart: the usual reason for a
/// group with several members.
///
/// The kernel knows some bridges that isolate without saying so (`pci_dev_acs_enabled` quirks), so this explains a large
/// group; it is not what decides about it.
public struct BridgeIsolation: Sendable, Equatable, CustomStringConvertible {
  public var bridge: PCIDevice
  /// `nil`: the bridge has no Access Control Services at all.
  public var missing: [AccessControlServices.Service]?

  public var isIsolating: Bool { missing?.isEmpty == true }

  /// `0000:00:1c.0 ... [8086:a110]: ACS SV, RR off`
  public var description: String {
    guard let missing else { return "\(bridge.summary): no ACS" }
    if missing.isEmpty { return "\(bridge.summary): ACS on" }
    return "\(bridge.summary): ACS \(missing.map(\.shortName).joined(separator: ", ")) off"
  }

  init(_ bridge: PCIDevice) {
    self.bridge = bridge
    missing = bridge.capabilities.accessControl?.missing
  }
}

extension PCIBus {
  /// The bridges between a device and the root complex, from the root downwards.
  ///
  /// Upstream ports of switches are left out: there is nothing below one that its downstream ports do not decide.
  public func isolation(of device: PCIDevice, among devices: [PCIDevice]) -> [BridgeIsolation] {
    upstreamAddresses(of: device.address).compactMap { address in
      guard let bridge = devices.first(where: { $0.address == address }),
        bridge.capabilities.express?.portType != .switchUpstream
      else { return nil }
      return BridgeIsolation(bridge)
    }
  }

  /// The components of the device's real path in sysfs that are PCI addresses, without its own.
  func upstreamAddresses(of address: PCIAddress) -> [PCIAddress] {
    guard let path = tree.resolved("bus/pci/devices/\(address)") else { return [] }
    return path.split(separator: "/").compactMap { PCIAddress(String($0)) }.filter { $0 != address }
  }
}
