import PCI
import Platform

extension DeviceEntry {
  /// Reads one `[[device]]` on top of the defaults. What is wrong is in the log, and the rest is still checked.
  /// - Parameter origins: where the defaults were said.
  init(_ reader: TableReader, defaults: DeviceSettings, origins: [String: SourceLocation] = [:]) {
    var settings = defaults
    settings.apply(reader)
    let name = reader.parsed(
      "name", must: "a name of lower-case letters, digits and hyphens, at most 32, beginning with a letter"
    ) { DeviceEntry.isName($0) ? $0 : nil }
    let match = Match(reader)
    let emulated = EmulatedDevice.read(reader)
    let classKeys = ClassKey.all(in: reader)
    reader.finish()
    let location = reader.location
    guard !reader.has("emulated") else {
      DeviceEntry.check(emulatedBy: reader, settings)
      self.init(name: name, emulated: emulated, settings: settings.emulated(reader.log, location), location: location)
      self.classKeys = classKeys
      self.origins = origins.merging(reader.places) { $1 }
      return
    }
    if !reader.has("address"), !reader.has("id"), !reader.has("class") {
      reader.log.add(
        location, "the entry does not say which device it means",
        hint:
          "add address = \"0000:01:00.0\", id = \"1b36:0010\" or class = \"nvme\"; bulkheadctl check lists the devices")
    }
    if settings.driver == nil, !reader.has("driver") {
      reader.log.add(
        location, "the entry has no driver",
        hint: "add driver = \"auto\", or the name of one: driver = \"nvme\"")
    }
    self.init(name: name, match: match, settings: settings, location: location)
    self.classKeys = classKeys
    self.origins = origins.merging(reader.places) { $1 }
  }

  /// `--emulated TEXT`: an entry with nothing but the defaults.
  init(
    _ device: EmulatedDevice, text: String, defaults: DeviceSettings, origins: [String: SourceLocation], log: IssueLog
  ) {
    let location = SourceLocation(file: "--emulated \(text)")
    self.init(emulated: device, settings: defaults.emulated(log, location), location: location)
    self.origins = origins
    self.origins["emulated"] = location
  }

  private init(name: String? = nil, emulated: EmulatedDevice?, settings: DeviceSettings, location: SourceLocation) {
    self.init(
      name: name ?? emulated?.options.name, match: Match(), emulated: emulated, settings: settings, location: location)
  }

  private static func check(emulatedBy reader: TableReader, _ settings: DeviceSettings) {
    for key in ["address", "id", "class"] {
      guard let node = reader.node(key) else { continue }
      reader.log.add(
        node.key, "\"\(key)\" means a device of this machine, \"emulated\" makes one", hint: "remove one of the two")
    }
    if let node = reader.node("driver"), settings.driver == DeviceSettings.Driver.none || settings.driver == .kernel {
      reader.complain("driver", node, must: "a driver for an emulated device", hint: "leave it out for \"auto\"")
    }
  }
}

extension DeviceSettings {
  /// As an emulated device has them: a driver that fits, and no kernel block device, unless something else was said.
  fileprivate func emulated(_ log: IssueLog, _ location: SourceLocation) -> DeviceSettings {
    var settings = self
    if settings.driver == nil || settings.driver == Driver.none || settings.driver == .kernel {
      settings.driver = .automatic
    }
    if settings.outlet.kernel == nil {
      settings.outlet.kernel = .never
      settings.outlet.check(location, log)
    }
    return settings
  }
}

extension EmulatedDevice {
  /// The key `emulated`; a relative path of its file begins at the folder of the configuration file.
  fileprivate static func read(_ reader: TableReader) -> EmulatedDevice? {
    guard let (text, node) = reader.string("emulated", must: "a text such as \"nvme,file=/var/lib/disk.img,size=64M\"")
    else { return nil }
    do throws(Failure) {
      return try EmulatedDevice(parsing: text, relativeTo: FileText.folder(of: reader.location.file))
    } catch {
      reader.log.add(node.location, "\"emulated\": cannot \(error.step)", hint: error.hint)
      return nil
    }
  }
}

extension DeviceEntry.Match {
  init(_ reader: TableReader) {
    address = reader.parsed(
      "address", must: "a PCI address such as \"0000:01:00.0\"", hint: "bulkheadctl check lists the devices",
      PCIAddress.init(_:))
    if let id = reader.parsed(
      "id", must: "a vendor and a device id such as \"1b36:0010\"", hint: "lspci -nn shows them", Self.identifiers)
    {
      vendor = id.vendor
      device = id.device
    }
    deviceClass = reader.parsed(
      "class", must: "a device class such as \"nvme\", \"0108\" or \"010802\"",
      hint: "known names: \(ClassPattern.knownNames.joined(separator: ", "))", ClassPattern.init(_:))
  }

  static func identifiers(_ text: String) -> (vendor: UInt16, device: UInt16)? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let vendor = identifier(parts[0]), let device = identifier(parts[1]) else { return nil }
    return (vendor, device)
  }

  /// Four hexadecimal digits.
  static func identifier(_ text: Substring) -> UInt16? {
    guard text.utf8.count == 4, text.allSatisfy(\.isHexDigit) else { return nil }
    return UInt16(text, radix: 16)
  }
}
