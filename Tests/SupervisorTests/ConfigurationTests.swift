import Glibc
import Protocol
import Testing

@testable import PCI
@testable import Supervisor

/// A folder of configuration and manifests, gone when the test is over.
final class ConfigurationFolder {
  let path: String
  let loader: ConfigurationLoader

  init(_ main: String, dropIns: [String: String] = [:], manifests: [String: String] = ["nvme": nvmeManifest]) {
    var template = Array("/tmp/bulkhead-test-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    loader = ConfigurationLoader(
      file: "\(path)/bulkhead.toml", directory: "\(path)/bulkhead.d", driverDirectories: ["\(path)/drivers"])
    mkdir("\(path)/bulkhead.d", 0o755)
    mkdir("\(path)/drivers", 0o755)
    precondition(FileText.write(main, to: "\(path)/bulkhead.toml") == 0)
    for (name, text) in dropIns { precondition(FileText.write(text, to: "\(path)/bulkhead.d/\(name)") == 0) }
    for (name, text) in manifests {
      precondition(FileText.write(text, to: "\(path)/drivers/\(name).toml") == 0)
      precondition(FileText.write("", to: "\(path)/drivers/\(name)", mode: 0o755) == 0)
    }
  }

  deinit {
    for folder in ["bulkhead.d", "drivers", ""] {
      for name in FileText.names(in: "\(path)/\(folder)") { unlink("\(path)/\(folder)/\(name)") }
      rmdir("\(path)/\(folder)")
    }
  }

  func load() -> (configuration: Configuration, issues: [String]) {
    let log = IssueLog()
    let configuration = loader.load(log: log)
    // The folder's name is another one each time.
    return (configuration, log.issues.map { $0.description.components(separatedBy: "\(path)/").joined() })
  }
}

let nvmeManifest = """
  name = "nvme"
  class = "block"
  executable = "nvme"
  bars = [0]
  interrupts = 5
  queues = 4
  arena = "4M"
  maps-payload = false
  options = ["queue-depth"]

  [[match]]
  class = "010802"
  """

private let entry = """
  [[device]]
  address = "0000:01:00.0"
  driver = "nvme"

  """

/// One mistake: the text of bulkhead.toml, and the pieces that its one error must have.
struct Mistake: Sendable, CustomTestStringConvertible {
  var name: String
  var text: String
  var pieces: [String]
  var testDescription: String { name }

  init(_ name: String, _ text: String, _ pieces: String...) {
    self.name = name
    self.text = text
    self.pieces = pieces
  }

  static let all: [Mistake] = [
    Mistake("syntax", "[[device]\n", "bulkhead.toml:1:", "syntax error"),
    Mistake("syntax further down", entry + "x = \n", "bulkhead.toml:4:", "syntax error"),
    Mistake("zero byte", "a = 1\0", "bulkhead.toml: error: the file contains a zero byte"),
    Mistake("key twice", entry + "driver = \"nvme\"\n", "bulkhead.toml:4:", "syntax error"),
    Mistake(
      "unknown key", entry + "driwer = \"nvme\"\n", "bulkhead.toml:4:1: error: unknown key \"driwer\" in [[device]]",
      "did you mean \"driver\"?"),
    Mistake(
      "unknown key without a neighbour", entry + "xyzzy = 1\n", "bulkhead.toml:4:1: error: unknown key \"xyzzy\"",
      "known keys here: address, class"),
    Mistake(
      "unknown key of a table", entry + "limits = { memroy = \"64M\" }\n",
      "bulkhead.toml:4:12: error: unknown key \"memroy\" in limits", "did you mean \"memory\"?"),
    Mistake(
      "unknown key below a header", entry + "[device.limits]\nmemroy = \"64M\"\n",
      "bulkhead.toml:5:1: error: unknown key \"memroy\" in limits"),
    Mistake(
      "unknown key at the top", "[[devcie]]\naddress = \"01:00.0\"\n",
      "error: unknown key \"devcie\"", "did you mean \"device\"?"),
    Mistake(
      "unknown dotted key", entry + "restart.burts = 3\n", "bulkhead.toml:4:9: error: unknown key \"burts\" in restart",
      "did you mean \"burst\"?"),
    Mistake(
      "device is a table", "[device]\naddress = \"01:00.0\"\n", "must be an array of tables",
      "begin each with a line [[device]]"),
    Mistake(
      "wrong type of a flag", entry + "force = \"yes\"\n",
      "bulkhead.toml:4:9: error: \"force\" in [[device]] must be true or false, not the text \"yes\""),
    Mistake(
      "wrong type of a text", "[[device]]\naddress = 1\ndriver = \"nvme\"\n",
      "bulkhead.toml:2:11: error: \"address\" in [[device]] must be a PCI address", "not the integer 1"),
    Mistake(
      "wrong type of a table", entry + "limits = 3\n", "\"limits\" in [[device]] must be a table, not the integer 3"),
    Mistake(
      "floating point", entry + "limits.queues = 1.5\n", "must be a whole number from 1 to 32, not a floating-point"),
    Mistake("date", entry + "name = 2024-01-01\n", "must be a name", "not a date"),
    Mistake(
      "bad address", "[[device]]\naddress = \"0000:01:00.9\"\ndriver = \"nvme\"\n",
      "bulkhead.toml:2:11: error:", "must be a PCI address such as \"0000:01:00.0\", not the text \"0000:01:00.9\"",
      "bulkheadctl check lists"),
    Mistake(
      "bad id", "[[device]]\nid = \"8086\"\ndriver = \"nvme\"\n", "must be a vendor and a device id such as",
      "lspci -nn"),
    Mistake(
      "bad class", "[[device]]\nclass = \"floppy\"\ndriver = \"nvme\"\n", "must be a device class",
      "known names: display"),
    Mistake(
      "bad name", entry + "name = \"Big Disk\"\n", "must be a name of lower-case letters", "not the text \"Big Disk\""),
    Mistake(
      "bad size", entry + "limits = { memory = \"64MB\" }\n",
      "bulkhead.toml:4:21: error: \"memory\" in limits must be a size from 4M to", "not the text \"64MB\"", "\"64M\""),
    Mistake("size too small", entry + "limits.memory = 1\n", "must be a size from 4M", "not the integer 1"),
    Mistake("size overflow", entry + "limits.payload = \"99999999999999999G\"\n", "must be a size from 1M to 1G"),
    Mistake(
      "bad duration", entry + "restart = { delay = \"10 s\" }\n",
      "\"delay\" in restart must be a duration, not the text \"10 s\"", "\"500ms\""),
    Mistake(
      "duration without a unit", entry + "heartbeat.interval = \"10\"\n", "must be a duration, not the text \"10\""),
    Mistake("bad percentage", entry + "limits.cpu = \"50\"\n", "must be a percentage of one processor", "\"50%\""),
    Mistake(
      "bad word", entry + "start = \"autp\"\n", "must be one of \"auto\", \"manual\", not the text \"autp\"",
      "did you mean \"auto\"?"),
    Mistake(
      "delays crossed", entry + "restart = { delay = \"2s\", max-delay = \"1s\" }\n",
      "\"max-delay\" in restart is less than \"delay\""),
    Mistake(
      "heartbeats crossed", entry + "heartbeat = { interval = \"2s\", timeout = \"1s\" }\n",
      "\"timeout\" in heartbeat is less than \"interval\""),
    Mistake(
      "no outlet", entry + "outlet = { kernel = false, socket = false }\n", "neither a kernel block device nor a socket"
    ),
    Mistake("bad outlet", entry + "outlet.kernel = \"maybe\"\n", "must be true, false or \"auto\""),
    Mistake(
      "no device meant", "[[device]]\ndriver = \"nvme\"\n",
      "bulkhead.toml:1:1: error: the entry does not say which device it means", "address = "),
    Mistake(
      "driver key missing", "[[device]]\naddress = \"01:00.0\"\n", "bulkhead.toml:1:1: error: the entry has no driver",
      "driver = \"auto\""),
    Mistake(
      "driver not installed", "[[device]]\naddress = \"01:00.0\"\ndriver = \"nvmee\"\n",
      "bulkhead.toml:3:10: error: there is no driver \"nvmee\"", "did you mean \"nvme\"?"),
    Mistake(
      "option not in the manifest", entry + "options = { queue-dept = 3 }\n",
      "bulkhead.toml:4:13: error: the driver \"nvme\" has no option \"queue-dept\"", "did you mean \"queue-depth\"?"),
    Mistake("option of a wrong type", entry + "options = { queue-depth = [1] }\n", "must be a text, a whole number"),
    Mistake("arena below the driver's need", entry + "limits.arena = \"1M\"\n", "the arena of 1M is less than", "4M"),
    Mistake(
      "two entries", entry + entry, "bulkhead.toml:4:1: error: a second entry for 0000:01:00.0",
      "the one at bulkhead.toml:1:1 means it too", "remove one of them"),
    Mistake(
      "two entries, spelled differently", entry + "[[device]]\naddress = \"01:00.0\"\ndriver = \"auto\"\n",
      "bulkhead.toml:4:1: error: a second entry for 0000:01:00.0"),
    Mistake(
      "one name twice", entry + "name = \"a\"\n[[device]]\naddress = \"02:00.0\"\ndriver = \"nvme\"\nname = \"a\"\n",
      "bulkhead.toml:5:1: error: the name \"a\" is taken by the entry at bulkhead.toml:1:1"),
    Mistake(
      "default of a name", "[defaults]\nname = \"x\"\n", "bulkhead.toml:2:1: error: \"name\" cannot have a default"),
    Mistake(
      "unknown default", "[defaults]\nstrat = \"auto\"\n", "bulkhead.toml:2:1: error: unknown key \"strat\" in defaults"
    ),
    Mistake(
      "wrong default is said once",
      "[defaults]\nforce = 1\n" + entry + "[[device]]\nid = \"1b36:0010\"\ndriver = \"nvme\"\n",
      "bulkhead.toml:2:9: error: \"force\" in defaults must be true or false"),
  ]
}

@Suite struct ConfigurationTests {
  @Test(arguments: Mistake.all)
  func mistakesAreExplained(_ mistake: Mistake) {
    let issues = ConfigurationFolder(mistake.text).load().issues
    #expect(issues.count == 1, "\(issues)")
    for piece in mistake.pieces { #expect(issues.first?.contains(piece) == true, "\(piece) is not in: \(issues)") }
  }

  @Test func allMistakesAreReported() {
    let folder = ConfigurationFolder(
      "[[device]]\naddress = \"nowhere\"\ndriver = \"nvme\"\nforce = 1\nstrat = \"auto\"\n[[device]]\nid = 3\n",
      dropIns: ["10-a.toml": "x = [", "20-b.toml": "[[device]]\naddress = \"02:00.0\"\ndriver = \"floppy\"\n"])
    let issues = folder.load().issues
    for piece in [
      "bulkhead.toml:2:11", "bulkhead.toml:4:9", "bulkhead.toml:5:1", "bulkhead.toml:7:6", "the entry has no driver",
      "bulkhead.d/10-a.toml:1:", "bulkhead.d/20-b.toml:3:10: error: there is no driver \"floppy\"",
    ] {
      #expect(issues.contains { $0.contains(piece) }, "\(piece) is not in: \(issues)")
    }
    #expect(issues.count == 7, "\(issues)")
  }

  @Test func twoEntriesInDifferentFilesAreReported() {
    let issues = ConfigurationFolder(entry, dropIns: ["a.toml": entry]).load().issues
    #expect(issues.count == 1)
    #expect(issues.first?.contains("bulkhead.d/a.toml:1:1: error: a second entry for 0000:01:00.0") == true)
    #expect(issues.first?.contains("the one at bulkhead.toml:1:1") == true)
  }

  @Test func twoEntriesForOneAddressAreReportedOnceOnAMachineThatHasIt() throws {
    let text = "[[device]]\naddress = \"0000:01:00.0\"\nclass = \"nvme\"\ndriver = \"nvme\"\n"
    let log = IssueLog()
    let folder = ConfigurationFolder(text + text + text)
    let configuration = folder.loader.load(log: log)
    #expect(log.issues.count == 2)
    #expect(configuration.assignments(of: [try controller("0000:01:00.0")], log: log).isEmpty)
    #expect(log.issues.count == 2, "\(log.issues)")
  }

  private func controller(_ address: String) throws -> PCIDevice {
    PCIDevice(
      address: try #require(PCIAddress(address)), vendorID: 0x1b36, deviceID: 0x0010, subsystemVendorID: 0,
      subsystemID: 0, classCode: 0x01_0802, revision: 0, vendorName: "", deviceName: "", className: "", driver: nil,
      iommuGroup: 1, numaNode: nil, bars: [], hasBridgeHeader: false,
      capabilities: Capabilities(), resetMethods: [])
  }

  /// Names of `/dev/bulkhead`, given and made: of the entry for 01:00.0 and, where there is one, of that for 02:00.0.
  @Test(
    arguments: [
      ("pci-0000-02-00-0", nil, 1), ("scratch-ns2", "scratch", 1), ("scratch", "scratch-ns12", 1),
      ("scratch", "scratch-nsa", 0), ("scratch", "scratch-ns", 0), ("scratch", "scratch2", 0), (nil, nil, 0),
    ] as [(String?, String?, Int)])
  func namesThatAreMadeAreNotGivenAway(_ name: String?, _ other: String?, _ count: Int) throws {
    func entry(_ address: String, _ name: String?) -> String {
      "[[device]]\naddress = \"\(address)\"\ndriver = \"nvme\"\n" + (name.map { "name = \"\($0)\"\n" } ?? "")
    }
    let log = IssueLog()
    let folder = ConfigurationFolder(entry("0000:01:00.0", name) + entry("0000:02:00.0", other))
    let configuration = folder.loader.load(log: log)
    #expect(
      configuration.assignments(of: [try controller("0000:01:00.0"), try controller("0000:02:00.0")], log: log).count
        == 2)
    #expect(log.issues.count == count, "\(log.issues)")
  }

  @Test func defaultsAndEntriesAreMerged() throws {
    let folder = ConfigurationFolder(
      """
      [defaults]
      driver = "nvme"
      restart = { burst = 5, delay = "1s" }
      limits.memory = "16M"

      [[device]]
      name = "scratch"
      address = "01:00.0"
      restart.burst = 7
      outlet = { kernel = "auto", namespaces = "all", read-only = true, connections = 4 }
      options.queue-depth = 12
      """,
      dropIns: [
        "20.toml": "[defaults]\nstart = \"manual\"\n",
        "10.toml": "[[device]]\nid = \"1b36:0010\"\nlimits.cpu = \"50%\"\n",
      ])
    let (configuration, issues) = folder.load()
    #expect(issues == [])
    try #require(configuration.entries.count == 2)
    let scratch = configuration.entries[0]
    #expect(scratch.name == "scratch")
    #expect(scratch.match.address?.description == "0000:01:00.0")
    #expect(scratch.settings.driver == .named("nvme"))
    #expect(scratch.settings.restart.burst == 7)
    #expect(scratch.settings.restart.delay == 1_000_000_000)
    #expect(scratch.settings.limits.memory == 16 << 20)
    #expect(scratch.settings.start == .manual)
    #expect(scratch.settings.outlet.kernel == .ifPresent)
    #expect(scratch.settings.outlet.namespaces == .all)
    #expect(scratch.settings.outlet.readOnly)
    #expect(scratch.settings.options.map(\.value) == ["12"])
    let other = configuration.entries[1]
    #expect(other.settings.restart.burst == 5)
    #expect(other.settings.limits.cpu == 50)
    #expect(other.match.vendor == 0x1b36)
  }

  /// What an entry does not say is that of `[defaults]`, also where nobody has to say it.
  @Test func limitsThatMayBeUnsetAreMerged() throws {
    let (configuration, issues) = ConfigurationFolder(
      """
      [defaults.limits]
      cpu = "80%"
      arena = "8M"
      queues = 2
      queue-size = 64
      spin = "1ms"

      [[device]]
      address = "01:00.0"
      driver = "nvme"
      limits.pids = 2
      """
    ).load()
    #expect(issues == [])
    let limits = try #require(configuration.entries.first).settings.limits
    #expect(limits.pids == 2)
    #expect(limits.cpu == 80 && limits.arena == 8 << 20 && limits.queues == 2)
    #expect(limits.queueSize == 64 && limits.spin == 1_000_000)
  }

  @Test func anEmptyFileIsRight() {
    let (configuration, issues) = ConfigurationFolder("# nothing\n").load()
    #expect(issues == [])
    #expect(configuration.entries.isEmpty)
    #expect(configuration.drivers.map(\.manifest.name) == ["nvme"])
  }

  @Test func aMissingFileIsAnError() {
    let folder = ConfigurationFolder("")
    unlink("\(folder.path)/bulkhead.toml")
    #expect(folder.load().issues.first?.contains("bulkhead.toml: error: the configuration file does not exist") == true)
  }

  @Test func theExampleThatIsShippedIsRight() throws {
    let root = #filePath.components(separatedBy: "/Tests/SupervisorTests/")[0]
    let text = try #require(FileText.contents("\(root)/packaging/bulkhead.toml"))
    #expect(ConfigurationFolder(text).load().issues == [])
    // And with its keys in force, as somebody would who takes away the comment signs.
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let start = try #require(lines.firstIndex { $0.hasPrefix("# [[device]]") })
    let end = try #require(lines.firstIndex { $0.hasPrefix("# A quarantined") })
    let example = lines[start..<end].map { $0.hasPrefix("# ") ? $0.dropFirst(2) : $0.drop { $0 == "#" } }
      .filter { !$0.hasPrefix("key =") }.joined(separator: "\n")
    let (configuration, issues) = ConfigurationFolder(example).load()
    #expect(issues == [], "\(example)")
    // It claims to show the defaults.
    var expected = DeviceSettings()
    expected.driver = .named("nvme")
    expected.limits.cpu = 100
    // The manifest that is shipped with it; a smaller one would be refused.
    let manifest = try #require(FileText.contents("\(root)/udrivers/nvme/nvme.toml"))
    let arena = try #require(manifest.firstMatch(of: /arena = "(\d+)M"/)?.output.1)
    expected.limits.arena = try #require(Int(arena)) << 20
    expected.limits.queues = 4
    expected.limits.queueSize = DriverManifest.usualQueueSize
    expected.limits.spin = DeviceClass.block.defaultSpin
    expected.outlet.kernel = .required
    var settings = try #require(configuration.entries.first).settings
    settings.driverLocation = nil
    #expect(settings == expected)
  }
}

@Suite struct BrokenManifestTests {
  private let manifests = ["nvme": nvmeManifest, "tape": "name = \"tape\"\nclass = \"tape\"\n"]

  /// The disks of other drivers are not to wait for somebody to mend it.
  @Test func oneThatNobodyNamesIsNoMistake() {
    let (configuration, issues) = ConfigurationFolder(entry, manifests: manifests).load()
    #expect(issues == [])
    #expect(configuration.drivers.map(\.manifest.name) == ["nvme"])
    #expect(configuration.brokenDrivers.map(\.name) == ["tape"])
  }

  @Test func oneThatIsNamedIsOne() {
    let issues = ConfigurationFolder(entry.replacing("nvme", with: "tape"), manifests: manifests).load().issues
    let wanted = "bulkhead.toml:3:10: error: the driver \"tape\" cannot be used"
    #expect(issues.first?.contains(wanted) == true, "\(issues)")
    #expect(issues.contains { $0.contains("drivers/tape.toml:2:9: error: \"class\" must be one of") })
  }

  @Test func whereNoDriverFitsTheBrokenAreNamed() {
    let log = IssueLog()
    let folder = ConfigurationFolder("[[device]]\nemulated = \"e1000e\"\ndriver = \"auto\"\n", manifests: manifests)
    let configuration = folder.loader.load(log: log)
    _ = configuration.assignments(of: [], log: log)
    #expect(log.issues.first?.hint.contains("broken: tape (bulkheadctl drivers)") == true, "\(log.issues)")
  }

  @Test func theFirstOfTwoNamesCounts() {
    let (configuration, issues) = ConfigurationFolder(
      entry, manifests: ["nvme": nvmeManifest, "other": nvmeManifest]
    ).load()
    #expect(issues == [])
    #expect(configuration.drivers.count == 1)
    #expect(configuration.brokenDrivers.first?.issues.first?.message.contains("a second driver \"nvme\"") == true)
  }
}

@Suite struct SuggestionTests {
  @Test(arguments: [("memroy", "memory"), ("burts", "burst"), ("Driver", "driver"), ("adress", "address")])
  func nearWordsAreFound(_ word: String, _ meant: String) {
    #expect(Suggestion.nearest(to: word, among: ["memory", "burst", "driver", "address", "start"]) == meant)
  }

  @Test func farWordsAreNot() {
    #expect(Suggestion.nearest(to: "xyzzy", among: ["memory", "pids"]) == nil)
    #expect(Suggestion.nearest(to: "a", among: []) == nil)
    // What is longer than 64 bytes costs nothing.
    let longest = String(repeating: "a", count: 64)
    #expect(Suggestion.nearest(to: longest, among: ["b", longest + "a"]) == nil)
    #expect(Suggestion.nearest(to: longest, among: ["b", longest]) == longest)
    #expect(Suggestion.nearest(to: longest + "a", among: ["b", longest]) == nil)
  }

  @Test func distanceCountsEdits() {
    #expect(Suggestion.distance("", "abc") == 3)
    #expect(Suggestion.distance("abcd", "acbd") == 1)
    #expect(Suggestion.distance("kitten", "sitting") == 3)
  }
}

@Suite struct QuantityTests {
  @Test func sizes() {
    #expect(Quantity.bytes("4096") == 4096)
    #expect(Quantity.bytes("64M") == 64 << 20)
    #expect(Quantity.bytes("1GiB") == 1 << 30)
    for bad in ["", "M", "64m", "64MB", "-1M", "+1", "1.5G", "64 M", "12iB", "9223372036854775807K"] {
      #expect(Quantity.bytes(bad) == nil, "\(bad)")
    }
  }

  @Test func durations() {
    #expect(Quantity.duration("0") == 0)
    #expect(Quantity.duration("250us") == 250_000)
    #expect(Quantity.duration("100ms") == 100_000_000)
    #expect(Quantity.duration("10s") == 10_000_000_000)
    #expect(Quantity.duration("5m") == 300_000_000_000)
    #expect(Quantity.duration("1h") == 3_600_000_000_000)
    for bad in ["", "s", "10", "-1s", "1.5s", "10 s", "9223372036854775807h"] {
      #expect(Quantity.duration(bad) == nil, "\(bad)")
    }
  }
}
