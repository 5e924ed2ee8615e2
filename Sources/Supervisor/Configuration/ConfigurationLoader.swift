import PCI

/// Reads the configuration and the manifests from their files. Touches no device.
public struct ConfigurationLoader {
  public var file: String
  public var directory: String
  public var driverDirectories: [String]

  public init(
    file: String = "/etc/bulkhead/bulkhead.toml", directory: String = "/etc/bulkhead/bulkhead.d",
    driverDirectories: [String] = ["/usr/lib/bulkhead/drivers"]
  ) {
    self.file = file
    self.directory = directory
    self.driverDirectories = driverDirectories
  }

  /// The configuration, as far as it is right; `log` has what is not.
  public func load(log: IssueLog) -> Configuration {
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
      for key in ["name", "address", "id", "class"] {
        guard let node = table.node(key) else { continue }
        log.add(node.key, "\"\(key)\" cannot have a default", hint: "it belongs into a [[device]]")
      }
      table.finish()
    }
    var entries: [DeviceEntry] = []
    for top in tops {
      entries += top.tables("device").map { DeviceEntry($0, defaults: defaults) }
      top.finish()
    }
    let configuration = Configuration(entries: entries, drivers: drivers)
    configuration.checkEntries(log: log)
    return configuration
  }

  /// The main file and the drop-ins, sorted by name. A main file that does not exist is no error where the default is
  /// meant: Bulkhead then has nothing to do.
  private func paths(log: IssueLog) -> [String] {
    let dropIns = FileText.names(in: directory).filter { $0.hasSuffix(".toml") && !$0.hasPrefix(".") }
    return [file] + dropIns.map { "\(directory)/\($0)" }
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
    for directory in driverDirectories {
      for name in FileText.names(in: directory) where name.hasSuffix(".toml") && !name.hasPrefix(".") {
        guard let text = read("\(directory)/\(name)", log: log) else { continue }
        let driver = ManifestReader.read(
          text, file: "\(directory)/\(name)", log: log, isExecutable: FileText.isExecutable)
        guard let driver else { continue }
        if let other = drivers.first(where: { $0.manifest.name == driver.manifest.name }) {
          log.add(
            driver.location, "a second driver \"\(driver.manifest.name)\": the first is at \(other.location.file)",
            hint: "remove or rename one")
        } else {
          drivers.append(driver)
        }
      }
    }
    return drivers
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
    // An entry whose address could not be read means no device.
    guard entry.match != DeviceEntry.Match() else { return }
    for other in earlier {
      if entry.match == other.match {
        log.add(
          entry.location, "a second entry for \(entry.match): the one at \(other.location) means it too",
          hint: "a device has one entry: remove one of them")
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

  /// What can only be said of the devices of this machine: all assignments, and what is wrong with them.
  public func assignments(of devices: [PCIDevice], log: IssueLog) -> [Assignment] {
    devices.filter { !$0.isBridge }.compactMap { device in
      do throws(ConfigurationIssue) {
        guard let assignment = try assignment(of: device, among: devices) else { return nil }
        if let driver = assignment.driver { checkOptions(assignment.entry, driver, log: log) }
        return assignment
      } catch {
        log.add(error.location, error.message, hint: error.hint)
        return nil
      }
    }
  }
}
