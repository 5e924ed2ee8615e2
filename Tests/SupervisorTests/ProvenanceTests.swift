import Control
import Testing

@testable import PCI
@testable import Supervisor

/// PCI functions as a machine might have them.
func machine(_ functions: (address: String, vendor: UInt16, device: UInt16, classCode: UInt32)...) -> [PCIDevice] {
  functions.map {
    PCIDevice(
      address: PCIAddress($0.address)!, vendorID: $0.vendor, deviceID: $0.device, subsystemVendorID: 0, subsystemID: 0,
      classCode: $0.classCode, revision: 0, vendorName: "V", deviceName: "D", className: "C", driver: nil,
      iommuGroup: nil, numaNode: nil, bars: [], hasBridgeHeader: false,
      capabilities: Capabilities(), resetMethods: [])
  }
}

private let disks = machine(
  ("0000:01:00.0", 0x1b36, 0x0010, 0x01_0802), ("0000:02:00.0", 0x1b36, 0x0010, 0x01_0802),
  ("0000:03:00.0", 0x8086, 0x10d3, 0x02_0000))

private func listing(_ folder: ConfigurationFolder) -> [ConfiguredDevice] {
  let (configuration, issues) = folder.load()
  #expect(issues == [])
  return configuration.listing(of: disks)
}

extension ConfiguredDevice {
  fileprivate func setting(_ key: String, _ folder: ConfigurationFolder) throws -> String {
    let setting = try #require(settings.first { $0.key == key }, "\(key)")
    let origin = setting.origin.components(separatedBy: "\(folder.path)/").joined()
    return "\(setting.value ?? "-") \(origin)"
  }
}

@Suite struct ProvenanceTests {
  @Test func eachValueSaysWhereItComesFrom() throws {
    let folder = ConfigurationFolder(
      """
      [defaults]
      limits.memory = "32M"
      heartbeat = { interval = "2s" }

      [[device]]
      name = "disk0"
      address = "01:00.0"
      driver = "auto"
      limits.memory = "16M"
      options = { queue-depth = 8 }
      """,
      dropIns: ["10-more.toml": "[defaults.restart]\nburst = 3\n\n[[device]]\nid = \"8086:10d3\"\ndriver = \"none\"\n"])
    let devices = listing(folder)
    try #require(devices.map(\.address) == ["0000:01:00.0", "0000:03:00.0"])
    let disk = devices[0]
    #expect(disk.driver == "nvme")
    #expect(try disk.setting("name", folder) == #""disk0" bulkhead.toml:6"#)
    #expect(try disk.setting("address", folder) == #""0000:01:00.0" bulkhead.toml:7"#)
    #expect(try disk.setting("driver", folder) == #""nvme" bulkhead.toml:8, "auto", and drivers/nvme.toml claims it"#)
    #expect(try disk.setting("limits.memory", folder) == #""16M" bulkhead.toml:9"#)
    #expect(try disk.setting("heartbeat.interval", folder) == #""2s" bulkhead.toml:3"#)
    #expect(try disk.setting("heartbeat.timeout", folder) == #""5s" default"#)
    #expect(try disk.setting("restart.burst", folder) == "3 bulkhead.d/10-more.toml:2")
    #expect(try disk.setting("limits.arena", folder) == #""4M" drivers/nvme.toml"#)
    #expect(try disk.setting("limits.cpu", folder) == "- default, none")
    #expect(try disk.setting("options.queue-depth", folder) == #""8" bulkhead.toml:10"#)
    #expect(!disk.settings.contains { $0.key == "outlet.mtu" }, "a disk has no keys of a network device")
    let held = devices[1]
    #expect(held.driver == "none")
    #expect(try held.setting("name", folder) == #""pci-0000-03-00-0" from the address"#)
    #expect(try held.setting("limits.memory", folder) == #""32M" bulkhead.toml:2"#)
    #expect(try held.setting("address", folder).hasSuffix("it fits id 8086:10d3 at bulkhead.d/10-more.toml:4"))
  }

  /// What is shown can be put into a file, and comes to the same.
  @Test func theOutputIsTheConfiguration() throws {
    let folder = ConfigurationFolder(
      """
      [defaults]
      violations.then = "restart"

      [[device]]
      name = "disk"
      class = "nvme"
      driver = "auto"
      outlet = { kernel = "auto", read-only = true }
      limits = { spin = "0", cpu = "50%" }
      options = { queue-depth = 8 }
      """)
    let first = listing(folder)
    #expect(first.compactMap(\.name) == ["disk-0000-01-00-0", "disk-0000-02-00-0"])
    let again = listing(ConfigurationFolder(ConfigurationPage.text(first)))
    #expect(
      again.map { $0.settings.map { "\($0.key)=\($0.value ?? "-")" } }
        == first.map { $0.settings.map { "\($0.key)=\($0.value ?? "-")" } })
  }

  /// No key that an entry may say is missing from what is shown.
  @Test func everyKeyIsThere() throws {
    let root = #filePath.components(separatedBy: "/Tests/SupervisorTests/")[0]
    let example = try #require(FileText.contents("\(root)/packaging/bulkhead.toml"))
    let shown = Set(SettingKey.all.map(\.name))
    var table = ""
    for line in example.split(separator: "\n") where line.hasPrefix("# ") {
      let text = line.dropFirst(2)
      if text.hasPrefix("[") {
        table = text.prefix { $0 != "]" }.split(separator: ".").dropFirst().joined(separator: ".")
        continue
      }
      guard let key = text.split(separator: " ").first, text.dropFirst(key.count).hasPrefix(" = "),
        !["name", "address", "id", "class", "driver", "key", "#"].contains(key)
      else { continue }
      #expect(shown.contains(table.isEmpty ? "\(key)" : "\(table).\(key)"), "\(table).\(key)")
    }
  }

  @Test func entriesThatFitNothingAreShownToo() throws {
    let folder = ConfigurationFolder(
      "[[device]]\nname = \"later\"\naddress = \"09:00.0\"\ndriver = \"auto\"\n\n[[device]]\nid = \"1b36:0010\"\ndriver = \"kernel\"\n"
    )
    let devices = listing(folder)
    #expect(devices.map(\.driver) == ["kernel", "kernel", nil])
    #expect(devices[2].isMeant(by: "later"))
    #expect(devices[2].isMeant(by: "0000:09:00.0"))
    #expect(!devices[2].isMeant(by: "01:00.0"))
    #expect(try devices[2].setting("address", folder) == #""0000:09:00.0" bulkhead.toml:3"#)
  }

  /// What was said of a device that has not come yet can be read back, too.
  @Test func aDeviceThatIsNotThereKeepsItsKeys() throws {
    let folder = ConfigurationFolder(
      """
      [defaults]
      restart.burst = 3

      [[device]]
      name = "later"
      address = "09:00.0"
      driver = "nvme"
      limits.memory = "16M"
      options = { queue-depth = 8 }
      """)
    let listed = listing(folder)
    let later = try #require(listed.last)
    #expect(try later.setting("limits.memory", folder) == #""16M" bulkhead.toml:8"#)
    #expect(try later.setting("options.queue-depth", folder) == #""8" bulkhead.toml:9"#)
    #expect(try later.setting("restart.burst", folder) == "3 bulkhead.toml:2")
    #expect(!later.settings.contains { $0.key == "limits.pids" }, "defaults of a class that is not known")
    let again = listing(ConfigurationFolder(ConfigurationPage.text(listed)))
    #expect(again.last?.settings.map(\.value) == later.settings.map(\.value))
  }

  @Test(arguments: [("a\"b\\", #""a\"b\\""#), ("x\ny", #""x\u000ay""#), ("ü", "\"ü\"")])
  func textsAreQuoted(_ text: String, _ quoted: String) { #expect(SettingKey.quoted(text) == quoted) }

  @Test(arguments: [0, 50_000, 100_000_000, 1_500_000_000, 60_000_000_000, 3_600_000_000_000])
  func durationsAreReadAsTheyAreWritten(_ value: Int64) {
    #expect(Quantity.duration(Quantity.text(duration: value)) == value)
  }
}
