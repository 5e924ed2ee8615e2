import PCI

/// A mistake in the configuration or in a driver's manifest.
public struct Issue: Codable, Sendable, Equatable {
  public var file: String
  /// From 1; nil where the whole file is meant.
  public var line: Int?
  /// From 1, in characters; nil where the whole line is meant.
  public var column: Int?
  public var message: String
  /// What to do; empty if the message says it all.
  public var hint: String

  public init(file: String, line: Int?, column: Int?, message: String, hint: String) {
    self.file = file
    self.line = line
    self.column = column
    self.message = message
    self.hint = hint
  }

  /// `file:line:column`, as compilers write it.
  public var place: String {
    ([file] + [line, column].compactMap { $0.map(String.init) }).joined(separator: ":")
  }

  /// A line, and one with the hint.
  public var text: String {
    "\(place): error: \(message)\n" + (hint.isEmpty ? "" : "    Hint: \(hint)\n")
  }
}

/// One key of a device's configuration, with what it comes to.
public struct Setting: Codable, Sendable, Equatable {
  /// Who has said the value.
  public enum Source: String, Codable, Sendable, CaseIterable {
    /// Bulkhead's own default.
    case builtIn = "default"
    /// A file of the configuration.
    case file
    /// The driver's manifest.
    case manifest
    /// It follows from the device or from another value.
    case derived
  }

  /// The full name: `limits.memory`.
  public var key: String
  /// As TOML has it; nil: not set, there is no such limit.
  public var value: String?
  public var source: Source
  /// Of ``Source/file`` and ``Source/manifest``.
  public var file: String?
  /// Of ``Source/file``, from 1.
  public var line: Int?
  /// From what a derived value follows.
  public var note: String?

  public init(
    key: String, value: String?, source: Source, file: String? = nil, line: Int? = nil, note: String? = nil
  ) {
    self.key = key
    self.value = value
    self.source = source
    self.file = file
    self.line = line
    self.note = note
  }

  /// `default`, `/etc/bulkhead/bulkhead.toml:4`, the path of a manifest, or what it follows from.
  public var origin: String {
    var text: String
    switch source {
    case .builtIn: text = "default"
    case .file, .manifest: text = (file ?? "?") + (line.map { ":\($0)" } ?? "")
    case .derived: text = ""
    }
    if let note { text += text.isEmpty ? note : ", \(note)" }
    return text
  }
}

/// What the configuration comes to for one device, or what an entry says that fits no device now.
public struct ConfiguredDevice: Codable, Sendable, Equatable {
  /// Nil: no device fits the entry.
  public var address: String?
  public var name: String?
  /// The name of the driver, `none` or `kernel`; nil where it is not known.
  public var driver: String?
  /// Where the entry is: `file:line`.
  public var entry: String
  public var settings: [Setting]

  public init(address: String?, name: String?, driver: String?, entry: String, settings: [Setting]) {
    self.address = address
    self.name = name
    self.driver = driver
    self.entry = entry
    self.settings = settings
  }
}

/// An installed driver, or a manifest that is none.
public struct DriverDetail: Codable, Sendable, Equatable {
  /// Of a broken manifest: its file's name without the ending.
  public var name: String
  /// `block` or `network`; nil if the manifest is broken.
  public var deviceClass: String?
  public var version: String?
  /// The path.
  public var manifest: String
  public var executable: String?
  /// What it claims: `1b36:0010`, `class 010802`.
  public var matches: [String] = []
  public var options: [String] = []
  /// Addresses of the devices that the configuration gives it.
  public var devices: [String] = []
  /// What is wrong with the manifest; such a driver cannot be used.
  public var issues: [Issue] = []

  public init(name: String, manifest: String) {
    self.name = name
    self.manifest = manifest
  }
}

/// All that `bulkheadd --check-config --json` says of the files.
public struct ConfigurationReport: Codable, Sendable, Equatable {
  /// Empty if the configuration can be put in force.
  public var issues: [Issue]
  public var devices: [ConfiguredDevice]
  public var drivers: [DriverDetail]

  public init(issues: [Issue], devices: [ConfiguredDevice], drivers: [DriverDetail]) {
    self.issues = issues
    self.devices = devices
    self.drivers = drivers
  }
}

extension [Issue] {
  /// Each mistake with its place and what to do, and how many there are.
  public var text: String {
    map(\.text).joined() + "\(count) error\(count == 1 ? "" : "s") in the configuration\n"
  }
}

extension ConfiguredDevice {
  /// By its name or its address, also of a device that is not there.
  public func isMeant(by text: String) -> Bool {
    if name == text { return true }
    guard let wanted = PCIAddress(text).map({ "\($0)" }) else { return false }
    return address == wanted || settings.contains { $0.key == "address" && $0.value == "\"\(wanted)\"" }
  }
}
