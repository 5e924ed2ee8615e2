import PCI

/// Reads the configuration and the manifests from their files. Touches no device.
public struct ConfigurationLoader {
  /// Nil: there is none.
  public var file: String?
  /// Of the drop-ins; nil: there are none.
  public var directory: String?
  /// Of drop-ins that last until the next boot; nil: there are none.
  public var runtimeDirectory: String?
  /// Texts that count in the place of those files' own, or nil for a file that is as if it were not there: what attach and
  /// detach are about to write.
  var pending: [String: String?] = [:]
  /// Manifests are in them, or one level below.
  public var driverDirectories: [String]
  /// Where drivers' executables may be beside the folders of their manifests.
  public var executableDirectories: [String]
  /// Devices of the command line, each as the text and what it was read as.
  public var emulated: [(text: String, device: EmulatedDevice)]

  public init(
    file: String?, directory: String?, runtimeDirectory: String? = nil, driverDirectories: [String],
    executableDirectories: [String] = [],
    emulated: [(text: String, device: EmulatedDevice)] = []
  ) {
    self.file = file
    self.directory = directory
    self.runtimeDirectory = runtimeDirectory
    self.driverDirectories = driverDirectories
    self.executableDirectories = executableDirectories
    self.emulated = emulated
  }

  /// The configuration, as far as it is right; `log` has what is not.
  /// - Parameter known: the addresses of the emulated devices that there are, by name; they keep them.
  public func load(log: IssueLog, known: [String: PCIAddress] = [:]) -> Configuration {
    let installed = loadDrivers()
    var tops: [TableReader] = []
    for path in paths {
      guard let text = read(path, log: log), let document = TOMLDocument.parse(text, file: path, log: log),
        case .table(let nodes) = document.value
      else { continue }
      tops.append(TableReader(nodes, at: document.location, name: "", log: log))
    }
    var defaults = DeviceSettings()
    var origins: [String: SourceLocation] = [:]
    for top in tops {
      guard let table = top.table("defaults") else { continue }
      defaults.apply(table)
      origins.merge(table.places) { $1 }
      if case .string("kernel")? = table.node("driver")?.value, let node = table.node("driver") {
        log.add(
          node.location, "\"driver\" cannot be \"kernel\" by default",
          hint: "it belongs into the [[device]] that is left alone")
      }
      for key in ["name", "address", "id", "class", "emulated"] {
        guard let node = table.node(key) else { continue }
        log.add(node.key, "\"\(key)\" cannot have a default", hint: "it belongs into a [[device]]")
      }
      for key in ClassKey.all(in: table) where key.name == "outlet.interface" || key.name == "outlet.mac" {
        log.add(key.location, "\"\(key.name)\" cannot have a default", hint: "it belongs into a [[device]]")
      }
      table.finish()
    }
    var entries = emulated.map { DeviceEntry($0.device, text: $0.text, defaults: defaults, origins: origins, log: log) }
    for top in tops {
      entries += top.tables("device").map {
        var entry = DeviceEntry($0, defaults: defaults, origins: origins)
        entry.isTransient = runtimeDirectory != nil && FileText.folder(of: top.location.file) == runtimeDirectory
        return entry
      }
      top.finish()
    }
    var configuration = Configuration(entries: entries, drivers: installed.drivers)
    configuration.brokenDrivers = installed.broken
    configuration.numberEmulated(known: known, log: log)
    configuration.checkEntries(log: log)
    return configuration
  }

  /// The main file and the drop-ins, sorted by name: those of the administrator, then those until the next boot.
  private var paths: [String] {
    (file.map { [$0] } ?? []) + [directory, runtimeDirectory].compactMap { $0 }.flatMap(dropIns)
  }

  private func dropIns(in directory: String) -> [String] {
    let there = FileText.names(in: directory).filter { $0.hasSuffix(".toml") && !$0.hasPrefix(".") }
    let coming = pending.keys.filter { FileText.folder(of: $0) == directory }
    return Set(there.map { "\(directory)/\($0)" } + coming).sorted().filter { pending[$0] != .some(.none) }
  }

  private func read(_ path: String, log: IssueLog) -> String? {
    if case .some(.some(let text)) = pending[path] { return text }
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

  /// The drivers whose manifests are right, and the manifests that are not.
  func loadDrivers() -> (drivers: [InstalledDriver], broken: [BrokenDriver]) {
    var drivers: [InstalledDriver] = []
    var broken: [BrokenDriver] = []
    for path in driverDirectories.flatMap(manifests) {
      let log = IssueLog()
      let driver = read(path, log: log).flatMap {
        ManifestReader.read(
          $0, file: path, folders: executableDirectories, log: log, isExecutable: FileText.isExecutable)
      }
      if let driver, let other = drivers.first(where: { $0.manifest.name == driver.manifest.name }) {
        log.add(
          driver.location, "a second driver \"\(driver.manifest.name)\": the first is at \(other.location.file)",
          hint: "remove or rename one")
      } else if let driver {
        drivers.append(driver)
      }
      if !log.isEmpty { broken.append(BrokenDriver(manifest: path, issues: log.issues)) }
    }
    return (drivers, broken)
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
