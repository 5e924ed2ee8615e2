import PCI

/// Everything that the administrator has said: the devices, and the drivers that are installed for them.
public struct Configuration: Sendable {
  public var entries: [DeviceEntry]
  public var drivers: [InstalledDriver]
  /// No driver can be had of them. Wrong only where an entry needs one.
  public var brokenDrivers: [BrokenDriver] = []

  public init(entries: [DeviceEntry] = [], drivers: [InstalledDriver] = []) {
    self.entries = entries
    self.drivers = drivers
  }

  /// The names of the drivers that claim a device.
  public func drivers(for device: DeviceIdentity) -> [String] {
    drivers.filter { $0.fit(device) != nil }.map(\.manifest.name)
  }

  /// Whether an entry means a device of this machine, so that one has to look at the machine. An empty configuration
  /// does too: more may follow.
  public var needsHardware: Bool { entries.isEmpty || entries.contains { $0.emulated == nil } }

  /// What is to be done with a device: nil if the configuration does not name it.
  /// - Throws: ``ConfigurationIssue`` where two entries mean it, or no driver is to be had.
  public func assignment(of device: PCIDevice, among devices: [PCIDevice]) throws(ConfigurationIssue) -> Assignment? {
    guard exemption(of: device) == nil else { return nil }
    return try takingAssignment(of: device, among: devices)
  }

  /// As ``assignment(of:among:)``, but as if no entry left the device to the kernel.
  func takingAssignment(of device: PCIDevice, among devices: [PCIDevice]) throws(ConfigurationIssue) -> Assignment? {
    var fitting = entries.filter { !$0.isExemption && $0.match.fits(device) }
    if fitting.contains(where: { !$0.isTransient }) { fitting.removeAll(where: \.isTransient) }
    guard let entry = fitting.first else { return nil }
    if fitting.count > 1 {
      // Where the files alone show it, the loader has said it in these words already.
      let meant = entry.match == fitting[1].match ? "\(entry.match)" : "\(device.address)"
      throw ConfigurationIssue(
        fitting[1].location,
        "a second entry for \(meant): the one at \(entry.location) means it too",
        hint: "a device has one entry: remove one, or make their address, id or class more exact")
    }
    return Assignment(
      hardware: .function(device), name: name(of: device, by: entry, among: devices), entry: entry,
      driver: try driver(for: .function(device), by: entry))
  }

  /// The entry that leaves a device to the kernel's own driver, whatever other entries say.
  func exemption(of device: PCIDevice) -> DeviceEntry? {
    entries.first { $0.isExemption && $0.match.fits(device) }
  }

  /// The entry that names an address and is not overruled by one that leaves it to the kernel.
  func entry(naming address: PCIAddress) -> DeviceEntry? {
    guard !entries.contains(where: { $0.isExemption && $0.match.address == address }) else { return nil }
    return entries.first { $0.match.address == address && !$0.isExemption }
  }

  /// The device that an entry emulates; nil for one that means a device of this machine.
  /// - Throws: ``ConfigurationIssue`` where no driver is to be had.
  func emulation(of entry: DeviceEntry) throws(ConfigurationIssue) -> Assignment? {
    guard let device = entry.emulated else { return nil }
    return Assignment(
      hardware: .emulated(device), name: entry.name ?? DeviceEntry.defaultName(device.address), entry: entry,
      driver: try driver(for: .emulated(device), by: entry))
  }

  private func name(of device: PCIDevice, by entry: DeviceEntry, among devices: [PCIDevice]) -> String {
    guard let name = entry.name else { return DeviceEntry.defaultName(device.address) }
    let isAlone = !devices.contains { $0.address != device.address && !$0.isBridge && entry.match.fits($0) }
    return isAlone ? name : "\(name)-\(DeviceEntry.defaultName(device.address).dropFirst("pci-".count))"
  }

  private func driver(for hardware: Hardware, by entry: DeviceEntry) throws(ConfigurationIssue) -> InstalledDriver? {
    let location = entry.settings.driverLocation ?? entry.location
    switch entry.settings.driver {
    case .some(.none), .kernel, nil: return nil
    case .named(let name):
      // The loader has seen to it that there is one.
      return drivers.first { $0.manifest.name == name }
    case .automatic:
      let ranked = drivers.compactMap { driver in driver.fit(hardware.identity).map { (driver: driver, fit: $0) } }
      guard let best = ranked.map(\.fit).max() else {
        throw ConfigurationIssue(
          location, "no installed driver claims \(hardware.summary)",
          hint: drivers.isEmpty
            ? "no driver can be used: bulkheadctl drivers"
            : Suggestion.hint(for: "", among: drivers.map(\.manifest.name), what: "drivers")
              + "; name one to use it all the same" + brokenWords)
      }
      let winners = ranked.filter { $0.fit == best }
      guard winners.count == 1 else {
        let names = winners.map { "\"\($0.driver.manifest.name)\"" }.joined(separator: " and ")
        throw ConfigurationIssue(
          location, "\(names) both claim \(hardware.summary)", hint: "name one of them as driver")
      }
      return winners[0].driver
    }
  }

  /// What to add where no driver fits: the one that was meant may be broken.
  private var brokenWords: String {
    guard !brokenDrivers.isEmpty else { return "" }
    return "; broken: \(brokenDrivers.map(\.name).joined(separator: ", ")) (bulkheadctl drivers)"
  }
}

/// A device with what the configuration wants of it.
public struct Assignment: Equatable, Sendable {
  public var hardware: Hardware
  public var name: String
  public var entry: DeviceEntry
  /// Nil: held for the sake of its group, without a driver.
  public var driver: InstalledDriver?

  var address: PCIAddress { hardware.address }
}
