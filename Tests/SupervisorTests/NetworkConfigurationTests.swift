import Platform
import Protocol
import Testing

@testable import PCI
@testable import Supervisor

let networkManifest = """
  name = "nic"
  class = "network"
  executable = "nic"
  bars = [0]
  interrupts = 3
  queues = 2
  arena = "4M"

  [[match]]
  vendor = "8086"
  device = "10d3"
  """

private let nic = """
  [[device]]
  name = "uplink"
  address = "0000:03:00.0"
  driver = "nic"

  """

private let disk = """
  [[device]]
  address = "0000:01:00.0"
  driver = "nvme"

  """

extension Mistake {
  static let network: [Mistake] = [
    Mistake(
      "interface too long", nic + "outlet.interface = \"a-name-of-16-byt\"\n",
      "bulkhead.toml:5:20: error: \"interface\" in outlet: cannot name an interface 'a-name-of-16-byt': it has 16 bytes",
      "bh0"),
    Mistake("interface of a wrong type", nic + "outlet.interface = 0\n", "must be the name of an interface"),
    Mistake("bad master", nic + "outlet.master = \"br/0\"\n", "\"master\" in outlet: cannot name an interface 'br/0'"),
    Mistake(
      "bad namespace", nic + "outlet.namespace = \"a/b\"\n",
      "bulkhead.toml:5:20: error: \"namespace\" in outlet must be the name of a network namespace", "ip netns"),
    Mistake(
      "bad address", nic + "outlet.mac = \"52:54:00:12:34\"\n",
      "\"mac\" in outlet must be an Ethernet address such as \"52:54:00:12:34:56\""),
    Mistake("address of a group", nic + "outlet.mac = \"01:00:5e:00:00:01\"\n", "not a group's"),
    Mistake("MTU too small", nic + "outlet.mtu = 67\n", "\"mtu\" in outlet must be a whole number from 68 to 9000"),
    Mistake("MTU too large", nic + "outlet.mtu = 9001\n", "from 68 to 9000"),
    Mistake(
      "bad datapath", nic + "outlet.datapath = \"vhots\"\n", "one of \"auto\", \"vhost\", \"broker\"",
      "did you mean \"vhost\"?"),
    Mistake("bad polling", nic + "outlet.busy-poll = \"1s\"\n", "\"busy-poll\" in outlet must be a duration", "100ms"),
    Mistake(
      "block key on a NIC", nic + "outlet.kernel = true\n",
      "bulkhead.toml:5:8: error: \"outlet.kernel\" is a key of block devices; the driver \"nic\" drives a network device"
    ),
    Mistake(
      "another block key", nic + "[device.outlet]\nread-only = true\n", "bulkhead.toml:6:1: error: \"outlet.read-only\""
    ),
    Mistake("block limit on a NIC", nic + "limits.payload = \"1M\"\n", "\"limits.payload\" is a key of block devices"),
    Mistake(
      "network key on a disk", disk + "outlet.interface = \"bh0\"\n",
      "bulkhead.toml:4:8: error: \"outlet.interface\" is a key of network devices; the driver \"nvme\" drives a block"),
    Mistake(
      "one interface twice",
      nic
        + "outlet.interface = \"bh0\"\n[[device]]\naddress = \"04:00.0\"\ndriver = \"nic\"\noutlet.interface = \"bh0\"\n",
      "bulkhead.toml:9:8: error: the interface \"bh0\" is that of the entry at bulkhead.toml:1:1"),
    Mistake(
      "default of an interface", "[defaults]\noutlet.interface = \"bh0\"\n",
      "bulkhead.toml:2:8: error: \"outlet.interface\" cannot have a default"),
    Mistake("key that is nearly right", nic + "outlet.datapaht = \"auto\"\n", "did you mean \"datapath\"?"),
  ]
}

@Suite struct NetworkConfigurationTests {
  private func folder(_ text: String, manifest: String = networkManifest) -> ConfigurationFolder {
    ConfigurationFolder(text, manifests: ["nvme": nvmeManifest, "nic": manifest])
  }

  @Test(arguments: Mistake.network)
  func mistakesAreExplained(_ mistake: Mistake) {
    let issues = folder(mistake.text).load().issues
    #expect(issues.count == 1, "\(issues)")
    for piece in mistake.pieces { #expect(issues.first?.contains(piece) == true, "\(piece) is not in: \(issues)") }
  }

  @Test func everyKeyIsRead() throws {
    let (configuration, issues) = folder(
      nic + """
        [device.outlet]
        interface = "lan0"
        mac = "52:54:00:12:34:56"
        mtu = 9000
        namespace = "blue"
        master = "br0"
        datapath = "broker"
        busy-poll = "70us"
        """
    ).load()
    #expect(issues == [])
    var expected = DeviceSettings.Interface()
    expected.name = "lan0"
    expected.address = HardwareAddress(0x52, 0x54, 0, 0x12, 0x34, 0x56)
    expected.mtu = 9000
    expected.namespace = "blue"
    expected.master = "br0"
    expected.datapath = .broker
    expected.busyPoll = 70_000
    #expect(try #require(configuration.entries.first).settings.outlet.interface == expected)
  }

  @Test func theExampleThatIsShippedIsRight() throws {
    let root = #filePath.components(separatedBy: "/Tests/SupervisorTests/")[0]
    let text = try #require(FileText.contents("\(root)/packaging/bulkhead.toml"))
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let start = try #require(lines.lastIndex { $0.hasPrefix("# [[device]]") })
    let example = lines[start...].map { $0.hasPrefix("# ") ? $0.dropFirst(2) : $0.drop { $0 == "#" } }
      .joined(separator: "\n")
    let manifest = networkManifest.replacing("\"nic\"", with: "\"e1000e\"")
    let (configuration, issues) = ConfigurationFolder(example, manifests: ["e1000e": manifest]).load()
    #expect(issues == [], "\(example)")
    let settings = try #require(configuration.entries.first).settings.outlet.interface
    #expect(
      settings.name == "lan0" && settings.mtu == 1500 && settings.busyPoll == 200_000 && settings.datapath == .auto)
  }

  /// `[defaults]` is for all devices, and each takes what it understands.
  @Test func defaultsOfBothClassesGoTogether() {
    let text =
      "[defaults]\noutlet = { kernel = \"auto\", mtu = 1400, datapath = \"broker\" }\nlimits.payload = \"1M\"\n"
    let (configuration, issues) = folder(text + nic + disk).load()
    #expect(issues == [])
    #expect(configuration.entries.allSatisfy { $0.settings.outlet.interface.mtu == 1400 })
    #expect(configuration.entries.allSatisfy { $0.settings.outlet.kernel == .ifPresent })
  }

  @Test func oneNameInTwoNamespaces() {
    let other =
      "[[device]]\naddress = \"04:00.0\"\ndriver = \"nic\"\noutlet = { interface = \"bh0\", namespace = \"blue\" }\n"
    #expect(folder(nic + "outlet.interface = \"bh0\"\n" + other).load().issues == [])
  }

  /// Which class a device has is known only when its driver is.
  @Test func keysAreCheckedOnceTheDriverIsFound() throws {
    let text = "[[device]]\naddress = \"03:00.0\"\ndriver = \"auto\"\noutlet.socket = false\n"
    let folder = folder(text)
    let log = IssueLog()
    let configuration = folder.loader.load(log: log)
    #expect(log.isEmpty)
    let device = PCIDevice(
      address: try #require(PCIAddress("0000:03:00.0")), vendorID: 0x8086, deviceID: 0x10d3, subsystemVendorID: 0,
      subsystemID: 0, classCode: 0x02_0000, revision: 0, vendorName: "", deviceName: "", className: "", driver: nil,
      iommuGroup: 1, numaNode: nil, bars: [], hasBridgeHeader: false,
      capabilities: Capabilities(), resetMethods: [])
    #expect(configuration.assignments(of: [device], log: log).isEmpty == false)
    #expect(log.issues.first?.message.contains("\"outlet.socket\" is a key of block devices") == true)
    #expect(log.issues.first?.location.line == 4)
  }

  @Test func aNetworkDriverHasPairsOfQueues() throws {
    let odd = folder("", manifest: networkManifest.replacing("queues = 2", with: "queues = 3")).load()
    #expect(odd.issues == [])
    let issues = try #require(odd.configuration.brokenDrivers.first).issues
    #expect(issues.count == 1)
    #expect(issues.first?.message.contains("\"queues\" must be an even number, not the integer 3") == true)
  }

  @Test(arguments: [(2, nil, 1), (8, 2, 2), (32, 32, 8), (8, 9, 4), (2, 3, 1)] as [(Int, Int?, Int)])
  func pairs(_ inManifest: Int, _ wanted: Int?, _ expected: Int) {
    var settings = DeviceSettings()
    settings.limits.queues = wanted
    let manifest = DriverManifest(
      name: "nic", deviceClass: .network, executable: "nic", matches: [], bars: [0], interrupts: 3, queues: inManifest,
      arenaSize: 4096, mapsPayload: false, options: [])
    #expect(DeviceSession.queues(settings, manifest) == expected)
  }
}
