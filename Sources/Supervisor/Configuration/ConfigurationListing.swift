import Control
import PCI
import Platform
import Protocol

extension Configuration {
  /// What the configuration comes to for each device that there is, in the order of addresses, and behind them the entries
  /// that fit none.
  public func listing(of devices: [PCIDevice]) -> [ConfiguredDevice] {
    var listed: [ConfiguredDevice] = []
    var used: Set<SourceLocation> = []
    for entry in entries where entry.emulated != nil {
      used.insert(entry.location)
      guard let assignment = try? emulation(of: entry) else { continue }
      listed.append(Self.listing(assignment))
    }
    for device in devices.sorted(by: { $0.address < $1.address }) where !device.isBridge {
      for entry in entries where entry.match.fits(device) { used.insert(entry.location) }
      if let exemption = exemption(of: device) {
        listed.append(Self.listing(exemption, of: device.address))
      } else if let assignment = try? assignment(of: device, among: devices) {
        listed.append(Self.listing(assignment))
      }
    }
    return listed + entries.filter { !used.contains($0.location) }.map { Self.listing($0, of: nil) }
  }

  private static func listing(_ assignment: Assignment) -> ConfiguredDevice {
    let entry = assignment.entry
    let manifest = assignment.driver
    var settings = [name(assignment.name, entry)]
    if entry.emulated == nil {
      settings.append(address(assignment.address, entry))
    } else {
      settings.append(said("emulated", entry.emulated.map { SettingKey.quoted($0.options.description) }, entry))
    }
    settings.append(driver(manifest, entry))
    for key in SettingKey.all {
      guard key.deviceClass == nil || manifest == nil || key.deviceClass == manifest?.manifest.deviceClass else {
        continue
      }
      var setting = said(key.name, key.value(entry.settings), entry)
      if setting.value == nil { complete(&setting, assignment) }
      settings.append(setting)
    }
    settings += options(entry)
    return ConfiguredDevice(
      address: "\(assignment.address)", name: assignment.name, driver: manifest?.manifest.name ?? "none",
      entry: entry.location.short, settings: settings)
  }

  private static func options(_ entry: DeviceEntry) -> [Setting] {
    entry.settings.options.map { said("options.\(key($0.name))", SettingKey.quoted($0.value), entry, $0.location) }
  }

  /// An entry that leaves its devices to the kernel, or fits none.
  private static func listing(_ entry: DeviceEntry, of device: PCIAddress?) -> ConfiguredDevice {
    var settings: [Setting] = []
    if let name = entry.name { settings.append(said("name", SettingKey.quoted(name), entry)) }
    if let device {
      settings.append(address(device, entry))
    } else {
      if let address = entry.match.address { settings.append(said("address", SettingKey.quoted("\(address)"), entry)) }
      if let vendor = entry.match.vendor, let device = entry.match.device {
        settings.append(said("id", SettingKey.quoted("\(hexadecimal(vendor)):\(hexadecimal(device))"), entry))
      }
      if let pattern = entry.match.deviceClass {
        settings.append(said("class", SettingKey.quoted("\(pattern)"), entry))
      }
    }
    let driver: String? =
      switch entry.settings.driver {
      case .some(.none): "none"
      case .kernel: "kernel"
      case .automatic: "auto"
      case .named(let name): name
      case nil: nil
      }
    settings.append(said("driver", driver.map(SettingKey.quoted), entry))
    // Without the device its driver may not be known, and so not its class: what was said, and no defaults.
    if !entry.isExemption {
      settings += SettingKey.all.map { said($0.name, $0.value(entry.settings), entry) }.filter { $0.source == .file }
      settings += options(entry)
    }
    return ConfiguredDevice(
      address: device.map { "\($0)" }, name: entry.name, driver: driver == "auto" ? nil : driver,
      entry: entry.location.short, settings: settings)
  }

  private static func name(_ name: String, _ entry: DeviceEntry) -> Setting {
    let value = SettingKey.quoted(name)
    guard let said = entry.name else {
      return Setting(key: "name", value: value, source: .derived, note: "from the address")
    }
    var setting = Self.said("name", value, entry)
    if said != name { setting.note = "\(SettingKey.quoted(said)) with the address: the entry fits several devices" }
    return setting
  }

  private static func address(_ address: PCIAddress, _ entry: DeviceEntry) -> Setting {
    let value = SettingKey.quoted("\(address)")
    if entry.match.address != nil { return said("address", value, entry) }
    return Setting(
      key: "address", value: value, source: .derived,
      note: "it fits \(entry.match) at \(entry.location.short)")
  }

  private static func driver(_ driver: InstalledDriver?, _ entry: DeviceEntry) -> Setting {
    var setting = said("driver", SettingKey.quoted(driver?.manifest.name ?? "none"), entry)
    if entry.settings.driver == .automatic, let driver {
      setting.note = "\"auto\", and \(driver.location.file) claims it"
    }
    return setting
  }

  /// A value that an entry or `[defaults]` has, or else Bulkhead's own.
  private static func said(
    _ key: String, _ value: String?, _ entry: DeviceEntry, _ place: SourceLocation? = nil
  ) -> Setting {
    guard let place = place ?? entry.origins[key] else { return Setting(key: key, value: value, source: .builtIn) }
    return Setting(
      key: key, value: value, source: .file, file: place.file, line: place.line > 0 ? place.line : nil)
  }

  /// What nobody has said, where something else decides.
  private static func complete(_ setting: inout Setting, _ assignment: Assignment) {
    guard let driver = assignment.driver else { return }
    func manifested(_ value: String) {
      setting.value = value
      setting.source = .manifest
      setting.file = driver.location.file
    }
    func measured(_ times: Nanoseconds) {
      setting.source = .derived
      setting.note = "\(times) times what it takes here to wake a thread"
    }
    switch setting.key {
    case "limits.arena": manifested(SettingKey.quoted(Quantity.text(bytes: driver.manifest.arenaSize)))
    case "limits.queue-size":
      setting.value = "\(DriverManifest.usualQueueSize)"
      if let size = driver.manifest.queueSize { manifested("\(size)") }
    case "limits.queues":
      setting.value = "\(DeviceSession.queues(assignment.entry.settings, driver.manifest))"
      setting.source = .derived
      setting.note = "one for each processor, at most 4 and what the driver serves"
    case "limits.spin":
      setting.value = SettingKey.duration(driver.manifest.deviceClass.defaultSpin)
      if driver.manifest.deviceClass == .network { measured(LookingOn.networkWakeUps) }
    case "outlet.busy-poll":
      setting.value = SettingKey.duration(LookingOn.vhost)
      measured(LookingOn.vhostWakeUps)
    case "outlet.interface":
      setting.value = SettingKey.quoted(DeviceSession.interfaceName(assignment.address, name: assignment.name))
      setting.source = .derived
      setting.note = "from the name"
    case "outlet.mac": setting.note = "the NIC's own"
    case "outlet.namespace": setting.note = "that of bulkheadd"
    case "limits.cpu", "outlet.master": setting.note = "none"
    default: break
    }
  }

  /// A key of TOML, in quotes where it has to be.
  private static func key(_ name: String) -> String {
    let isBare =
      !name.isEmpty
      && name.utf8.allSatisfy { byte in
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
          || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
          || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
      }
    return isBare ? name : SettingKey.quoted(name)
  }
}

extension Issue {
  init(_ issue: ConfigurationIssue) {
    let place = issue.location
    self.init(
      file: place.file, line: place.line > 0 ? place.line : nil, column: place.column > 0 ? place.column : nil,
      message: issue.message, hint: issue.hint)
  }
}

extension ConfigurationLoader {
  /// The drivers that are installed now, and the manifests that are none, by path.
  /// - Parameter devices: the addresses that the configuration gives to the driver of a name.
  public func driverListing(devices: (String) -> [String]) -> [DriverDetail] {
    let (drivers, broken) = loadDrivers()
    var listed = drivers.map { DriverDetail($0, devices: devices($0.manifest.name)) }
    for driver in broken {
      var detail = DriverDetail(name: driver.name, manifest: driver.manifest)
      detail.issues = driver.issues.map(Issue.init)
      listed.append(detail)
    }
    return listed.sorted { ($0.name, $0.manifest) < ($1.name, $1.manifest) }
  }
}

extension DriverDetail {
  fileprivate init(_ driver: InstalledDriver, devices: [String]) {
    let manifest = driver.manifest
    self.init(name: manifest.name, manifest: driver.location.file)
    deviceClass = "\(manifest.deviceClass)"
    version = manifest.version
    executable = driver.executablePath
    matches = manifest.matches.map(\.words)
    options = manifest.options.sorted()
    self.devices = devices
  }
}

extension DriverManifest.Match {
  /// `1b36:0010`, `vendor 1b36`, `class 010802`, or several of them.
  fileprivate var words: String {
    var parts: [String] = []
    switch (vendor, device) {
    case (let vendor?, let device?): parts.append("\(hexadecimal(vendor)):\(hexadecimal(device))")
    case (let vendor?, nil): parts.append("vendor \(hexadecimal(vendor))")
    case (nil, let device?): parts.append("device \(hexadecimal(device))")
    case (nil, nil): break
    }
    if let classCode {
      let digits = String(classCode, radix: 16)
      parts.append("class " + String(repeating: "0", count: max(0, 6 - digits.count)) + digits)
    }
    return parts.joined(separator: " ")
  }
}
