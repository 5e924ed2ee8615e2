import Protocol

/// A driver that is installed: its manifest, and where its executable is.
public struct InstalledDriver: Equatable, Sendable {
  public var manifest: DriverManifest
  public var executablePath: String
  public var location: SourceLocation

  /// How well it fits: the number of hexadecimal digits of ids that it names; nil if it does not.
  public func fit(_ device: DeviceIdentity) -> Int? {
    manifest.matches.compactMap { $0.fit(device) }.max()
  }
}

/// A manifest that is no driver. Devices of other drivers are none the worse for it.
public struct BrokenDriver: Equatable, Sendable {
  /// Its path.
  public var manifest: String
  /// At least one.
  public var issues: [ConfigurationIssue]

  /// After its file: what it says itself may not be readable.
  public var name: String { String(FileText.name(of: manifest).dropLast(".toml".count)) }
}

extension DriverManifest.Match {
  /// Vendor and device count more than any class.
  func fit(_ candidate: DeviceIdentity) -> Int? {
    var precision = 0
    if let vendor {
      guard vendor == candidate.vendorID else { return nil }
      precision += 8
    }
    if let device {
      guard device == candidate.deviceID else { return nil }
      precision += 8
    }
    if let classCode {
      guard classCode == candidate.classCode else { return nil }
      precision += 6
    }
    return precision
  }
}

/// Reads driver manifests.
enum ManifestReader {
  private enum Class: String, CaseIterable {
    case block
    case network
  }

  /// Nil if anything is wrong with it; the log says what.
  /// - Parameter folders: where the executable may be if it is not beside its manifest.
  static func read(
    _ text: String, file: String, folders: [String] = [], log: IssueLog, isExecutable: (String) -> Bool
  ) -> InstalledDriver? {
    let issues = log.issues.count
    guard let document = TOMLDocument.parse(text, file: file, log: log), case .table(let nodes) = document.value else {
      return nil
    }
    let reader = TableReader(nodes, at: document.location, name: "", log: log)
    var manifest = DriverManifest(
      name: "", deviceClass: .block, executable: "", matches: [], bars: [], interrupts: 1, queues: 1,
      arenaSize: 1 << 20, mapsPayload: false, options: [])
    manifest.name =
      required("name", reader) {
        reader.parsed("name", must: "a name of lower-case letters, digits and hyphens") {
          DeviceEntry.isName($0) ? $0 : nil
        }
      } ?? ""
    manifest.version = reader.parsed("version", must: "a version of at most 32 bytes") {
      (1...32).contains($0.utf8.count) && $0.utf8.allSatisfy { (0x21..<0x7f).contains($0) } ? $0 : nil
    }
    if let kind = required("class", reader, { reader.choice("class", Class.self) }) {
      manifest.deviceClass = kind == .block ? .block : .network
    }
    manifest.executable =
      required("executable", reader) {
        reader.parsed("executable", must: "a file name without a slash") { $0.isEmpty || $0.contains("/") ? nil : $0 }
      } ?? ""
    manifest.interrupts =
      required("interrupts", reader) {
        reader.integer("interrupts", in: 1...DriverFile.maximumInterrupts)
      } ?? 1
    manifest.queues = required("queues", reader) { reader.integer("queues", in: 1...DriverFile.maximumQueues) } ?? 1
    if manifest.deviceClass == .network, manifest.queues % 2 != 0, let node = reader.node("queues") {
      reader.complain(
        "queues", node, must: "an even number", hint: "a network driver serves pairs: one queue out, one in")
    }
    manifest.queueSize = reader.powerOfTwo("queue-size", in: BrokerConfiguration.queueSizes)
    manifest.arenaSize = required("arena", reader) { reader.bytes("arena", in: 4096...AddressMap.maximumArena) } ?? 4096
    manifest.mapsPayload = reader.boolean("maps-payload") ?? false
    manifest.bars = bars(reader)
    manifest.options = options(reader)
    // A driver without [[match]] claims nothing: only a configuration that names it gets it.
    manifest.matches = reader.tables("match").compactMap(match)
    reader.finish()
    guard log.issues.count == issues else { return nil }
    let paths = ([FileText.folder(of: file)] + folders).map { "\($0)/\(manifest.executable)" }
    guard let path = paths.first(where: isExecutable) else {
      log.add(
        SourceLocation(file: file), "the driver's executable \(paths[0]) is missing",
        hint: "install it beside its manifest, or take the manifest away")
      return nil
    }
    return InstalledDriver(manifest: manifest, executablePath: path, location: document.location)
  }

  private static func required<Value>(_ key: String, _ reader: TableReader, _ read: () -> Value?) -> Value? {
    if !reader.has(key) {
      reader.log.add(
        SourceLocation(file: reader.location.file), "the manifest has no \"\(key)\"", hint: "every driver needs one")
    }
    return read()
  }

  private static func bars(_ reader: TableReader) -> [UInt8] {
    (reader.array("bars", of: "BAR numbers") ?? []).compactMap { node in
      guard case .integer(let number) = node.value, (0...5).contains(number) else {
        reader.log.add(node.location, "a BAR is a number from 0 to 5, not \(node.words)")
        return nil
      }
      return UInt8(number)
    }
  }

  private static func options(_ reader: TableReader) -> [String] {
    (reader.array("options", of: "names") ?? []).compactMap { node in
      guard case .string(let name) = node.value, DeviceEntry.isName(name) else {
        reader.log.add(
          node.location, "an option is a name of lower-case letters, digits and hyphens, not \(node.words)")
        return nil
      }
      return name
    }
  }

  private static func match(_ reader: TableReader) -> DriverManifest.Match? {
    let identifier = { (text: String) in DeviceEntry.Match.identifier(text[...]) }
    let match = DriverManifest.Match(
      vendor: reader.parsed("vendor", must: "four hexadecimal digits", identifier),
      device: reader.parsed("device", must: "four hexadecimal digits", identifier),
      classCode: reader.parsed("class", must: "six hexadecimal digits such as \"010802\"") {
        guard let pattern = ClassPattern($0), pattern.precision == 6 else { return nil }
        return pattern.value
      })
    reader.finish()
    if !reader.has("vendor"), !reader.has("class") {
      reader.log.add(reader.location, "the match fits every device", hint: "give it a class, or a vendor and a device")
    }
    return match
  }
}
