import PCI

extension DeviceEntry {
  /// Reads one `[[device]]` on top of the defaults. What is wrong is in the log, and the rest is still checked.
  init(_ reader: TableReader, defaults: DeviceSettings) {
    var settings = defaults
    settings.apply(reader)
    let name = reader.parsed(
      "name", must: "a name of lower-case letters, digits and hyphens, at most 32, beginning with a letter"
    ) { DeviceEntry.isName($0) ? $0 : nil }
    let match = Match(reader)
    reader.finish()
    if !reader.has("address"), !reader.has("id"), !reader.has("class") {
      reader.log.add(
        reader.location, "the entry does not say which device it means",
        hint:
          "add address = \"0000:01:00.0\", id = \"1b36:0010\" or class = \"nvme\"; bulkheadctl check lists the devices")
    }
    if settings.driver == nil, !reader.has("driver") {
      reader.log.add(
        reader.location, "the entry has no driver",
        hint: "add driver = \"auto\", or the name of one: driver = \"nvme\"")
    }
    self.init(name: name, match: match, settings: settings, location: reader.location)
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
