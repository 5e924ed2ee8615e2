import Glibc
import PCI

/// `bulkheadd --check-config`.
public enum ConfigurationCheck {
  /// Prints every error, or what the configuration comes to on this machine. Touches no device.
  /// - Returns: the exit status.
  public static func run(_ loader: ConfigurationLoader) -> Int32 {
    let issues = IssueLog()
    let configuration = loader.load(log: issues)
    // Without privilege or in a container there may be no devices to look at; the files can be checked all the same.
    let devices = configuration.needsHardware ? (try? PCIBus().devices()) ?? [] : []
    let assignments = configuration.assignments(of: devices, log: issues)
    guard issues.isEmpty else {
      let count = issues.issues.count
      complain(
        issues.issues.map { "\($0)\n" }.joined() + "\(count) error\(count == 1 ? "" : "s") in the configuration\n")
      return Daemon.configurationStatus
    }
    for assignment in assignments {
      print(
        "\(assignment.address) \(assignment.name): \(assignment.driver?.manifest.name ?? "held without a driver")"
      )
    }
    print(
      "ok: \(configuration.entries.count) entries, \(configuration.drivers.count) drivers, "
        + "\(assignments.count) devices")
    return 0
  }

  private static func complain(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
  }
}
