import PCI

/// Reads the configuration and the manifests from their files. Touches no device.
public struct ConfigurationLoader {
  /// Nil: there is none.
  public var file: String?
  /// Of the drop-ins; nil: there are none.
  public var directory: String?
  /// Manifests are in them, or one level below.
  public var driverDirectories: [String]
  /// Where drivers' executables may be beside the folders of their manifests.
  public var executableDirectories: [String]
  /// Devices of the command line, each as the text and what it was read as.
  public var emulated: [(text: String, device: EmulatedDevice)]

  public init(
    file: String?, directory: String?, driverDirectories: [String], executableDirectories: [String] = [],
    emulated: [(text: String, device: EmulatedDevice)] = []
  ) {
    self.file = file
    self.directory = directory
    self.driverDirectories = driverDirectories
    self.executableDirectories = executableDirectories
    self.emulated = emulated
  }

  /// The configuration, as far as it is right; `log` has what is not.
  /// - Parameter known: the addresses of the emulated devices that there are, by name; they keep them.
  public func load(log: IssueLog, known: [String: PCIAddress] = [:]) -> Configuration {
    let drivers = loadDrivers(log: log)
    var tops: [TableReader] = []
    for path in paths(log: log) {
      guard let text = read(path, log: log), let document = TOMLDocument.parse(text, file: path, log: log),
        case .table(let nodes) = document.value
      else { continue }
      tops.append(TableReader(nodes, at: document.location, name: "", log: log))
    }
    var defaults = DeviceSettings()
    for top in tops {
      guard let table = top.table("defaults") else { continue }
      defaults.apply(table)
      for key in ["name", "address", "id", "class", "emulated"] {
        guard let node = table.node(key) else { continue }
        log.add(node.key, "\"\(key)\" cannot have a default", hint: "it belongs into a [[device]]")
      }
      table.finish()
    }
    var entries = emulated.map { DeviceEntry($0.device, text: $0.text, defaults: defaults, log: log) }
    for top in tops {
      entries += top.tables("device").map { DeviceEntry($0, defaults: defaults) }
      top.finish()
    }
    var configuration = Configuration(entries: entries, drivers: drivers)
    configuration.numberEmulated(known: known, log: log)
    configuration.checkEntries(log: log)
    return configuration
  }

  /// The main file and the drop-ins, sorted by name.
  private func paths(log: IssueLog) -> [String] {
    let main = file.map { [$0] } ?? []
    guard let directory else { return main }
    let dropIns = FileText.names(in: directory).filter { $0.hasSuffix(".toml") && !$0.hasPrefix(".") }
    return main + dropIns.map { "\(directory)/\($0)" }
  }

  private func read(_ path: String, log: IssueLog) -> String? {
    switch FileText.read(path, limit: 1 << 20) {
    case .text(let text): return text
    case .missing:
      log.add(
        SourceLocation(file: path), "the configuration file does not exist",
        hint: "create it (an empty file will do), or give its path with --config")
    case .unreadable(let reason): log.add(SourceLocation(file: path), "cannot read the file: \(reason)")
    }
    return nil
  }

  private func loadDrivers(log: IssueLog) -> [InstalledDriver] {
    var drivers: [InstalledDriver] = []
    for path in driverDirectories.flatMap(manifests) {
      guard let text = read(path, log: log) else { continue }
      let driver = ManifestReader.read(
        text, file: path, folders: executableDirectories, log: log, isExecutable: FileText.isExecutable)
      guard let driver else { continue }
      if let other = drivers.first(where: { $0.manifest.name == driver.manifest.name }) {
        log.add(
          driver.location, "a second driver \"\(driver.manifest.name)\": the first is at \(other.location.file)",
          hint: "remove or rename one")
      } else {
        drivers.append(driver)
      }
    }
    return drivers
  }

  /// The manifests in a folder, and those in the folders in it.
  private func manifests(in directory: String) -> [String] {
    let isManifest = { (name: String) in name.hasSuffix(".toml") && !name.hasPrefix(".") }
    let names = FileText.names(in: directory)
    let below = names.filter { !$0.contains(".") }.flatMap { folder in
      FileText.names(in: "\(directory)/\(folder)").filter(isManifest).map { "\(folder)/\($0)" }
    }
    return (names.filter(isManifest) + below).map { "\(directory)/\($0)" }
  }
}

extension Configuration {
  /// What can be said without looking at the machine: doubles, drivers that are not there, options they do not have.
  func checkEntries(log: IssueLog) {
    for (index, entry) in entries.enumerated() {
      checkDoubles(entry, earlier: entries[..<index], log: log)
      guard case .named(let name) = entry.settings.driver else { continue }
      guard let driver = drivers.first(where: { $0.manifest.name == name }) else {
        log.add(
          entry.settings.driverLocation ?? entry.location, "there is no driver \"\(name)\"",
          hint: Suggestion.hint(for: name, among: drivers.map(\.manifest.name), what: "drivers"))
        continue
      }
      checkOptions(entry, driver, log: log)
    }
  }

  private func checkDoubles(_ entry: DeviceEntry, earlier: ArraySlice<DeviceEntry>, log: IssueLog) {
    for other in earlier {
      // An entry whose address could not be read means no device, and one with an emulated device has its own.
      if entry.match == other.match, entry.match != DeviceEntry.Match() {
        log.add(
          entry.location, "a second entry for \(entry.match): the one at \(other.location) means it too",
          hint: "a device has one entry: remove one of them")
        return
      } else if let name = entry.name, name == other.name {
        log.add(
          entry.location, "the name \"\(name)\" is taken by the entry at \(other.location)", hint: "choose another")
      }
    }
  }

  func checkOptions(_ entry: DeviceEntry, _ driver: InstalledDriver, log: IssueLog) {
    for option in entry.settings.options where !driver.manifest.options.contains(option.name) {
      log.add(
        option.location, "the driver \"\(driver.manifest.name)\" has no option \"\(option.name)\"",
        hint: Suggestion.hint(for: option.name, among: driver.manifest.options, what: "options of this driver"))
    }
    if let arena = entry.settings.limits.arena, arena < driver.manifest.arenaSize {
      log.add(
        entry.location,
        "the arena of \(Quantity.text(bytes: arena)) is less than the driver \"\(driver.manifest.name)\" needs",
        hint: "give it at least \(Quantity.text(bytes: driver.manifest.arenaSize)), or leave the key out")
    }
  }

  /// What can only be said of the devices that there are: all assignments, those of emulated devices too, and what is
  /// wrong with them.
  public func assignments(of devices: [PCIDevice], log: IssueLog) -> [Assignment] {
    entries.compactMap { entry in assigned(log) { () throws(ConfigurationIssue) in try emulation(of: entry) } }
      + devices.filter { !$0.isBridge }.compactMap { device in
        assigned(log) { () throws(ConfigurationIssue) in try assignment(of: device, among: devices) }
      }
  }

  private func assigned(_ log: IssueLog, _ find: () throws(ConfigurationIssue) -> Assignment?) -> Assignment? {
    do throws(ConfigurationIssue) {
      guard let assignment = try find() else { return nil }
      if let driver = assignment.driver { checkOptions(assignment.entry, driver, log: log) }
      return assignment
    } catch {
      log.add(error.location, error.message, hint: error.hint)
      return nil
    }
  }

  /// Gives each emulated device its address, and a name where it has none.
  mutating func numberEmulated(known: [String: PCIAddress], log: IssueLog) {
    let indices = entries.indices.filter { entries[$0].emulated != nil }
    for (number, index) in indices.enumerated() where entries[index].name == nil {
      entries[index].name = "emulated\(number)"
    }
    // One that is about to go still has its address.
    var taken = Set(known.values)
    for index in indices {
      var address = entries[index].name.flatMap { known[$0] }
      if address == nil {
        address = (0..<EmulatedDevice.maximumCount).lazy.map(EmulatedDevice.address).first { !taken.contains($0) }
      }
      guard let address else {
        log.add(entries[index].location, "there are more than \(EmulatedDevice.maximumCount) emulated devices")
        continue
      }
      taken.insert(address)
      entries[index].emulated?.place(at: address)
    }
  }
}
