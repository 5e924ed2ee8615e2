import PCI

/// The files that `attach` and `detach` write: one device each, below the administrator's own files, which they never
/// touch.
struct DropIn: Equatable {
  enum Kind: Equatable {
    /// Takes the device.
    case attach(driver: String, name: String?)
    /// Leaves it to the kernel, whatever other files say.
    case detach
  }

  var address: PCIAddress
  var kind: Kind

  /// Of the file. Neither kind is in the way of the other: one may have been edited since.
  var fileName: String {
    switch kind {
    case .attach: "50-attach-\(address).toml"
    case .detach: "50-detach-\(address).toml"
    }
  }

  func path(in directory: String) -> String { "\(directory)/\(fileName)" }

  var text: String {
    var lines: [String]
    switch kind {
    case .attach(let driver, let name):
      lines = ["# Written by bulkheadctl attach; bulkheadctl detach --permanent removes it.", "[[device]]"]
      if let name { lines.append("name = \"\(name)\"") }
      lines += ["address = \"\(address)\"", "driver = \"\(driver)\""]
    case .detach:
      lines = [
        "# Written by bulkheadctl detach; bulkheadctl attach --permanent removes it.",
        "# The device is the kernel's, whatever other entries say of it.",
        "[[device]]", "address = \"\(address)\"", "driver = \"kernel\"",
      ]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// What wrote a file with this entry, if it is one of these and nobody has edited it since.
  /// - Parameter text: the whole file.
  init?(_ entry: DeviceEntry, text: String) {
    guard let address = entry.match.address, let driver = entry.settings.driver else { return nil }
    self.address = address
    switch driver {
    case .kernel: kind = .detach
    case .automatic: kind = .attach(driver: "auto", name: entry.name)
    case .none: kind = .attach(driver: "none", name: entry.name)
    case .named(let driver): kind = .attach(driver: driver, name: entry.name)
    }
    guard text == self.text, FileText.name(of: entry.location.file) == fileName else { return nil }
  }

  init(_ address: PCIAddress, _ kind: Kind) {
    self.address = address
    self.kind = kind
  }
}
