import Platform

/// Devices that the IOMMU cannot tell apart, or whose requests can reach each other without passing it.
public struct IOMMUGroup: Sendable, Equatable {
  public var number: Int
  /// In the order of addresses.
  public var members: [PCIDevice]

  /// The group of a device, with the members found among `devices`; `nil` without an IOMMU.
  public init?(of device: PCIDevice, among devices: [PCIDevice]) {
    guard let number = device.iommuGroup else { return nil }
    self.number = number
    members = devices.filter { $0.iommuGroup == number }
  }

  /// The members that would have to be bound for the group to be used: all but bridges to other buses.
  public var bindable: [PCIDevice] { members.filter { !$0.isBridge } }

  /// The members that keep the group from being handed out, because the kernel drives them.
  ///
  /// VFIO accepts members that are bound to vfio-pci or pci-stub, that have no driver, and bridges to other buses, whose
  /// driver does no DMA for others (`vfio_dev_viable`, since Linux 5.18 `driver_managed_dma`).
  /// - Parameter claimed: members that Bulkhead is about to bind.
  public func blockers(claiming claimed: Set<PCIAddress> = []) -> [Blocker] {
    members.compactMap { member in
      guard let driver = member.driver, !["vfio-pci", "pci-stub"].contains(driver), !member.hasBridgeHeader,
        !claimed.contains(member.address)
      else { return nil }
      return Blocker(device: member, driver: driver)
    }
  }

  /// Nothing blocks it as it is now.
  public var isViable: Bool { blockers().isEmpty }

  /// A member that the kernel drives.
  public struct Blocker: Sendable, Equatable, CustomStringConvertible {
    public var device: PCIDevice
    public var driver: String

    /// Address, name and driver.
    public var description: String { "\(device.summary), driven by \(driver)" }
  }

  /// A refusal that names each blocking member; `nil` if there is none.
  public func refusal(claiming claimed: Set<PCIAddress>) -> Refusal? {
    let blockers = blockers(claiming: claimed)
    guard !blockers.isEmpty else { return nil }
    return Refusal(
      code: "group-not-viable",
      message: "IOMMU group \(number) also has \(blockers.map(\.description).joined(separator: "; "))",
      hint: "name each of these devices in the configuration too, or unbind it, or move the card to another slot",
      overridable: false)
  }
}
