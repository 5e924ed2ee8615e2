/// What `bulkheadctl config show` prints: TOML that says the same as the configuration, with the origin of each value.
public enum ConfigurationPage {
  public static func text(_ devices: [ConfiguredDevice], style: Style = .plain) -> String {
    devices.map { text($0, style) }.joined(separator: "\n")
  }

  private static func text(_ device: ConfiguredDevice, _ style: Style) -> String {
    let lines = device.settings.map { setting in
      (setting.value.map { "\(setting.key) = \($0)" } ?? "# \(setting.key) is not set", setting.origin)
    }
    let width = lines.map(\.0.count).max() ?? 0
    var text = style.bold("[[device]]") + comment(device, style)
    for (line, origin) in lines {
      let padding = String(repeating: " ", count: width - line.count)
      text += "\(line)\(padding)  \(style.faint("# \(origin)"))\n"
    }
    return text
  }

  private static func comment(_ device: ConfiguredDevice, _ style: Style) -> String {
    let words = (device.address ?? "no device fits it now") + ", by the entry at \(device.entry)"
    return "  " + style.faint("# \(words)") + "\n"
  }
}
