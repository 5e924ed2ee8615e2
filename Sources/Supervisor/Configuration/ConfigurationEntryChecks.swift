import PCI

extension Configuration {
  /// What can be said without looking at the machine: doubles, drivers that are not there, options they do not have.
  func checkEntries(log: IssueLog) {
    for (index, entry) in entries.enumerated() where !entry.isExemption {
      checkDoubles(entry, earlier: entries[..<index], log: log)
      checkInterface(entry, earlier: entries[..<index], log: log)
      guard case .named(let name) = entry.settings.driver else { continue }
      guard let driver = drivers.first(where: { $0.manifest.name == name }) else {
        complain(of: name, at: entry.settings.driverLocation ?? entry.location, log: log)
        continue
      }
      checkOptions(entry, driver, log: log)
    }
  }

  /// A driver that is named and is not to be had.
  private func complain(of name: String, at location: SourceLocation, log: IssueLog) {
    if let broken = brokenDrivers.first(where: { $0.name == name }) {
      log.add(location, "the driver \"\(name)\" cannot be used: its manifest is broken", hint: broken.manifest)
      for issue in broken.issues { log.add(issue.location, issue.message, hint: issue.hint) }
    } else {
      log.add(
        location, "there is no driver \"\(name)\"",
        hint: Suggestion.hint(for: name, among: drivers.map(\.manifest.name), what: "drivers"))
    }
  }

  private func checkDoubles(_ entry: DeviceEntry, earlier: ArraySlice<DeviceEntry>, log: IssueLog) {
    for other in earlier where !other.isExemption {
      // One that lasts until the next boot gives way.
      if entry.match == other.match, entry.isTransient != other.isTransient { continue }
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

  /// Two devices cannot have one interface.
  private func checkInterface(_ entry: DeviceEntry, earlier: ArraySlice<DeviceEntry>, log: IssueLog) {
    let wanted = entry.settings.outlet.interface
    guard let name = wanted.name else { return }
    for other in earlier where !other.isExemption {
      if entry.match == other.match, entry.isTransient != other.isTransient { continue }
      let interface = other.settings.outlet.interface
      guard interface.name == name, interface.namespace == wanted.namespace else { continue }
      log.add(
        entry.classKeys.first { $0.name == "outlet.interface" }?.location ?? entry.location,
        "the interface \"\(name)\" is that of the entry at \(other.location)", hint: "choose another")
      return
    }
  }

  func checkOptions(_ entry: DeviceEntry, _ driver: InstalledDriver, log: IssueLog) {
    for option in entry.settings.options where !driver.manifest.options.contains(option.name) {
      log.add(
        option.location, "the driver \"\(driver.manifest.name)\" has no option \"\(option.name)\"",
        hint: Suggestion.hint(for: option.name, among: driver.manifest.options, what: "options of this driver"))
    }
    let deviceClass = driver.manifest.deviceClass
    for key in entry.classKeys where key.deviceClass != deviceClass {
      log.add(
        key.location,
        "\"\(key.name)\" is a key of \(key.deviceClass) devices; the driver \"\(driver.manifest.name)\" drives a "
          + "\(deviceClass) device", hint: "remove it; docs/configure.md says which keys a class has")
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
    let assignments =
      entries.compactMap { entry in assigned(log) { () throws(ConfigurationIssue) in try emulation(of: entry) } }
      + devices.filter { !$0.isBridge }.compactMap { device in
        assigned(log) { () throws(ConfigurationIssue) in try assignment(of: device, among: devices) }
      }
    checkNames(assignments, log: log)
    return assignments
  }

  /// Names that were given, and names made of addresses and namespaces, are one name space: that of `/dev/bulkhead` and of
  /// the sockets.
  private func checkNames(_ assignments: [Assignment], log: IssueLog) {
    for (index, assignment) in assignments.enumerated() {
      for other in assignments[..<index] where Self.collide(assignment.name, other.name) {
        let (given, made) = assignment.entry.name == assignment.name ? (assignment, other) : (other, assignment)
        // Equal names in two entries are reported where the entries are read.
        if let name = given.entry.name, name == made.entry.name { continue }
        log.add(
          given.entry.location,
          "the name \"\(given.name)\" is also that of \(made.address), by the entry at "
            + "\(made.entry.location)", hint: "choose another")
      }
    }
  }

  /// Whether they are the same, or one is that of a namespace of the other's disk.
  private static func collide(_ name: String, _ other: String) -> Bool {
    let (short, long) = name.utf8.count < other.utf8.count ? (name, other) : (other, name)
    guard long.hasPrefix(short) else { return false }
    let rest = long.dropFirst(short.count)
    return rest.isEmpty
      || rest.hasPrefix("-ns") && rest.count > 3 && rest.dropFirst(3).allSatisfy { $0.isASCII && $0.isNumber }
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
