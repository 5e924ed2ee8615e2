import Control
import Glibc
import PCI

/// What is wrong with a configuration, and what it comes to on this machine. Touches no device.
public struct ConfigurationCheck {
  private let loader: ConfigurationLoader
  private let configuration: Configuration
  private let devices: [PCIDevice]
  /// The devices that it names, with their drivers.
  private let assignments: [Assignment]
  /// Empty if it can be put in force.
  let issues: [Issue]

  init(_ loader: ConfigurationLoader) {
    self.loader = loader
    let log = IssueLog()
    configuration = loader.load(log: log)
    // Without privilege or in a container there may be no devices to look at; the files can be checked all the same.
    devices = configuration.needsHardware ? (try? PCIBus().devices()) ?? [] : []
    assignments = configuration.assignments(of: devices, log: log)
    issues = log.issues.map(Issue.init)
  }

  /// One line for each device, and a last one with the sums.
  private var summary: String {
    assignments.map {
      "\($0.address) \($0.name): \($0.driver?.manifest.name ?? "held without a driver")\n"
    }.joined()
      + "ok: \(configuration.entries.count) entries, \(configuration.drivers.count) drivers, "
      + "\(assignments.count) devices\n"
  }

  private var report: ConfigurationReport {
    ConfigurationReport(
      issues: issues, devices: configuration.listing(of: devices),
      drivers: loader.driverListing { name in
        assignments.filter { $0.driver?.manifest.name == name }.map { "\($0.address)" }.sorted()
      })
  }

  /// `bulkheadd --check-config`: prints every error, or what the configuration comes to.
  /// - Parameter json: all of that on standard output, as a ``ConfigurationReport``.
  /// - Returns: the exit status.
  public static func run(_ loader: ConfigurationLoader, json: Bool = false) -> Int32 {
    let check = ConfigurationCheck(loader)
    let status = check.issues.isEmpty ? 0 : Daemon.configurationStatus
    if json {
      print(JSON.pretty(check.report))
    } else if check.issues.isEmpty {
      print(check.summary, terminator: "")
      complain(check.warnings)
    } else {
      complain(check.issues.text)
    }
    return status
  }

  /// A line for each thing that is wrong with a driver of which no device is in need.
  private var warnings: String {
    configuration.brokenDrivers.flatMap { driver in
      driver.issues.map { "\($0.location): warning: \($0.message); the driver \"\(driver.name)\" cannot be used\n" }
    }.joined()
  }

  private static func complain(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
  }
}
