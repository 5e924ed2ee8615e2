import CLibPCI
import Platform

/// All PCI functions of the machine, by libpci.
public struct PCIBus: Sendable {
  let tree: KernelTree
  private let namesFile: String?

  /// - Parameter namesFile: a pci.ids to use in place of the system's.
  public init(tree: KernelTree = KernelTree(), namesFile: String? = nil) {
    self.tree = tree
    self.namesFile = namesFile
  }

  /// Scans the bus, in the order of addresses.
  ///
  /// A device that is unplugged between the listing and the look at it makes libpci give up; the scan is then repeated.
  /// - Throws: `pci-scan`.
  public func devices() throws(Failure) -> [PCIDevice] {
    var last = Failure("pci-scan", "scan \(tree.sys)/bus/pci")
    for _ in 0..<3 {
      do { return try scan() } catch { last = error }
    }
    throw last
  }

  /// - Throws: `pci-no-device`, `pci-scan`.
  public func device(at address: PCIAddress) throws(Failure) -> PCIDevice {
    guard let device = try devices().first(where: { $0.address == address }) else {
      throw Failure("pci-no-device", "find \(address)", hint: "bulkheadctl check lists the devices of this machine")
    }
    return device
  }

  private func scan() throws(Failure) -> [PCIDevice] {
    guard tree.exists("bus/pci/devices") else {
      throw Failure(
        "pci-scan", "list \(tree.sys)/bus/pci/devices", hint: "is sysfs mounted, and does the kernel have PCI?")
    }
    guard let access = bh_pci_scan("\(tree.sys)/bus/pci", namesFile) else {
      throw Failure("pci-scan", "scan \(tree.sys)/bus/pci: \(String(cString: bh_pci_message()))")
    }
    defer { pci_cleanup(access) }
    var devices: [PCIDevice] = []
    var next = access.pointee.devices
    while let entry = next {
      next = entry.pointee.next
      guard bh_pci_fill(entry) == 0 else {
        throw Failure("pci-scan", "look at a device: \(String(cString: bh_pci_message()))")
      }
      if let device = describe(entry) { devices.append(device) }
    }
    return devices.sorted { $0.address < $1.address }
  }

  private func describe(_ entry: UnsafeMutablePointer<pci_dev>) -> PCIDevice? {
    let found = entry.pointee
    guard
      let address = PCIAddress(
        domain: UInt32(bitPattern: Int32(found.domain)), bus: found.bus, device: found.dev, function: found.func)
    else { return nil }
    let path = "bus/pci/devices/\(address)"
    let config = readConfig(entry)
    return PCIDevice(
      address: address, vendorID: found.vendor_id, deviceID: found.device_id,
      subsystemVendorID: UInt16(tree.number("\(path)/subsystem_vendor") ?? UInt64(found.subsys_vendor_id)),
      subsystemID: UInt16(tree.number("\(path)/subsystem_device") ?? UInt64(found.subsys_id)),
      classCode: UInt32(found.device_class) << 8 | UInt32(found.prog_if), revision: found.rev_id,
      vendorName: name(entry, BH_PCI_NAME_VENDOR), deviceName: name(entry, BH_PCI_NAME_DEVICE),
      className: name(entry, BH_PCI_NAME_CLASS), driver: tree.linkName("\(path)/driver"),
      iommuGroup: tree.linkName("\(path)/iommu_group").flatMap { Int($0) },
      numaNode: tree.attribute("\(path)/numa_node").flatMap { Int($0) }.flatMap { $0 < 0 ? nil : $0 },
      bars: BaseAddress.parse(tree.attribute("\(path)/resource") ?? ""),
      hasBridgeHeader: config.count > 0x0e && config[0x0e] & 0x7f == 1, capabilities: Capabilities(config: config),
      resetMethods: (tree.attribute("\(path)/reset_method") ?? "").split(separator: " ").map(String.init))
  }

  /// As much of configuration space as is defined: some old devices hang when the rest is read (lspci(8), `-xxx`).
  ///
  /// The header; 256 bytes if there is a list of capabilities; 4096 if PCI Express is in it.
  private func readConfig(_ entry: UnsafeMutablePointer<pci_dev>) -> [UInt8] {
    var best: [UInt8] = []
    for size in [64, 256, 4096] {
      var bytes = [UInt8](repeating: 0, count: size)
      guard bh_pci_read(entry, &bytes, Int32(size)) != 0 else { break }
      best = bytes
      let hasMore = size == 64 ? bytes[0x06] & 0x10 != 0 : Capabilities(config: bytes).express != nil
      if !hasMore { break }
    }
    return best
  }

  private func name(_ entry: UnsafeMutablePointer<pci_dev>, _ which: bh_pci_name) -> String {
    var text = [CChar](repeating: 0, count: 256)
    guard bh_pci_name(entry, which, &text, Int32(text.count)) == 0 else { return "unknown" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
