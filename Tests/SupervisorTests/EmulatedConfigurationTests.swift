import Platform
import Testing

@testable import Supervisor

private let emulated = """
  [[device]]
  emulated = "nvme,size=64M"

  """

@Suite struct EmulatedConfigurationTests {
  @Test func anEntryNeedsNothingElse() throws {
    let (configuration, issues) = ConfigurationFolder(emulated + emulated).load()
    #expect(issues == [])
    #expect(configuration.entries.map(\.name) == ["emulated0", "emulated1"])
    #expect(configuration.entries.map { $0.emulated?.address.description } == ["ffff:00:00.0", "ffff:01:00.0"])
    let entry = try #require(configuration.entries.first)
    #expect(entry.settings.driver == .automatic)
    #expect(entry.settings.outlet.kernel == .never)
    #expect(entry.emulated?.options.size == 64 << 20)
    #expect(entry.emulated?.options.address == "ffff:00:00.0")
    #expect(!configuration.needsHardware)
  }

  @Test func allOtherKeysAreThoseOfRealDevices() throws {
    let (configuration, issues) = ConfigurationFolder(
      """
      [defaults]
      outlet.kernel = "auto"
      driver = "none"
      [[device]]
      name = "scratch"
      emulated = "nvme,file=/var/lib/disk.img,readonly=on"
      restart = { burst = 0, delay = "0" }
      limits = { queue-size = 64, spin = "0", interrupt-rate = 0 }
      options = { queue-depth = 3 }
      """
    ).load()
    #expect(issues == [])
    let entry = try #require(configuration.entries.first)
    #expect(entry.name == "scratch")
    #expect(entry.settings.restart.burst == 0)
    #expect(entry.settings.limits.queueSize == 64)
    #expect(entry.settings.limits.spin == 0)
    #expect(entry.settings.limits.interruptRate == 0)
    #expect(entry.settings.outlet.kernel == .ifPresent)
    #expect(entry.settings.driver == .automatic)
    #expect(entry.emulated?.options.file == "/var/lib/disk.img")
    #expect(entry.emulated?.options.readOnly == true)
  }

  @Test(arguments: [
    Mistake(
      "unknown option", "[[device]]\nemulated = \"nvme,siz=1M\"\n",
      "bulkhead.toml:2:12: error: \"emulated\": cannot read `siz=1M`", "options are name, file, size"),
    Mistake("unknown model", "[[device]]\nemulated = \"floppy\"\n", "cannot emulate `floppy`", "nvme,file=disk.img"),
    Mistake("a bad name in it", "[[device]]\nemulated = \"nvme,name=Big\"\n", "cannot read `name=Big`"),
    Mistake("no text", "[[device]]\nemulated = true\n", "\"emulated\" in [[device]] must be a text such as"),
    Mistake(
      "an address too", emulated + "address = \"01:00.0\"\n",
      "bulkhead.toml:3:1: error: \"address\" means a device of this machine, \"emulated\" makes one"),
    Mistake("an id too", emulated + "id = \"1b36:0010\"\n", "\"id\" means a device of this machine"),
    Mistake("a class too", emulated + "class = \"nvme\"\n", "\"class\" means a device of this machine"),
    Mistake(
      "no driver", emulated + "driver = \"none\"\n", "bulkhead.toml:3:10: error:",
      "must be a driver for an emulated device"),
    Mistake(
      "no outlet", emulated + "outlet.socket = false\n", "neither a kernel block device nor a socket"),
    Mistake(
      "one name twice", emulated + "name = \"a\"\n" + emulated + "name = \"a\"\n",
      "bulkhead.toml:4:1: error: the name \"a\" is taken by the entry at bulkhead.toml:1:1"),
    Mistake(
      "a name that is given by number too", "[[device]]\nname = \"emulated1\"\nemulated = \"nvme\"\n" + emulated,
      "the name \"emulated1\" is taken"),
    Mistake(
      "queue size", emulated + "limits.queue-size = 100\n", "must be a power of two from 4 to 1024, not the integer 100"
    ),
    Mistake("spin", emulated + "limits.spin = \"2s\"\n", "must be a duration, not the text \"2s\"", "\"50us\""),
    Mistake("rate", emulated + "limits.interrupt-rate = -1\n", "must be a whole number from 0"),
  ])
  func mistakesAreExplained(_ mistake: Mistake) {
    let issues = ConfigurationFolder(mistake.text).load().issues
    #expect(issues.count == 1, "\(issues)")
    for piece in mistake.pieces { #expect(issues.first?.contains(piece) == true, "\(piece) is not in: \(issues)") }
  }

  @Test func aRelativeFileIsBesideTheConfiguration() throws {
    let folder = ConfigurationFolder("[[device]]\nemulated = \"nvme,file=disk.img\"\n")
    #expect(folder.load().configuration.entries.first?.emulated?.options.file == "\(folder.path)/disk.img")
    #expect(try EmulatedDevice(parsing: "nvme,file=disk.img").options.file == "disk.img")
  }

  @Test func devicesOfTheCommandLineComeFirstAndTakeTheDefaults() throws {
    let folder = ConfigurationFolder("[defaults]\nheartbeat.timeout = \"2s\"\n" + emulated)
    var loader = folder.loader
    for text in ["nvme", "nvme,name=scratch"] {
      loader.emulated.append((text, try EmulatedDevice(parsing: text)))
    }
    let log = IssueLog()
    let configuration = loader.load(log: log)
    #expect(log.issues == [])
    #expect(configuration.entries.map(\.name) == ["emulated0", "scratch", "emulated2"])
    #expect(configuration.entries.allSatisfy { $0.settings.heartbeat.timeout == 2_000_000_000 })
    #expect(configuration.entries[1].location.description == "--emulated nvme,name=scratch")
    loader.file = nil
    loader.directory = nil
    #expect(loader.load(log: log).entries.map(\.settings.heartbeat.timeout) == [5_000_000_000, 5_000_000_000])
    #expect(log.issues == [])
  }

  @Test func whatIsThereKeepsItsAddress() throws {
    let text = ["a", "b", "c"].map { "[[device]]\nname = \"\($0)\"\nemulated = \"nvme\"\n" }.joined()
    let folder = ConfigurationFolder(text)
    let configuration = folder.loader.load(
      log: IssueLog(), known: ["c": EmulatedDevice.address(0), "gone": EmulatedDevice.address(1)])
    #expect(
      configuration.entries.map { $0.emulated?.address.description } == [
        "ffff:02:00.0", "ffff:03:00.0", "ffff:00:00.0",
      ]
    )
  }

  @Test func aDriverIsFoundByItsIds() throws {
    let log = IssueLog()
    let configuration = ConfigurationFolder(emulated).load().configuration
    let assignments = configuration.assignments(of: [], log: log)
    #expect(log.issues == [])
    let assignment = try #require(assignments.first)
    #expect(assignment.name == "emulated0")
    #expect(assignment.driver?.manifest.name == "nvme")
    #expect(assignment.address == EmulatedDevice.address(0))
  }

  @Test func withoutADriverItIsSaid() {
    let folder = ConfigurationFolder(emulated, manifests: [:])
    let log = IssueLog()
    _ = folder.load().configuration.assignments(of: [], log: log)
    #expect(log.issues.count == 1)
    #expect(
      log.issues.first?.message
        == "no installed driver claims ffff:00:00.0 Bulkhead Emulated NVM Express Controller [1b36:0010]")
  }

  @Test func aNetworkControllerHasAWire() throws {
    let device = try EmulatedDevice(parsing: "e1000e,wire=bhw0,mac=02:00:00:00:00:01")
    #expect(device.options.wire == "bhw0" && device.options.textWithoutFile == "e1000e,wire=bhw0,mac=02:00:00:00:00:01")
    #expect(device.identity.vendorID == 0x8086 && device.identity.deviceID == 0x10D3)
    #expect(device.identity.classCode == 0x02_0000)
    #expect(throws: Failure.self) { try EmulatedDevice(parsing: "e1000e,wire=a/b") }
    #expect(throws: Failure.self) { try EmulatedDevice(parsing: "e1000e,wire=an-interface-with-a-long-name") }
  }

  @Test func aTextTooLongForTheBrokerIsRefused() {
    let text = "nvme" + String(repeating: ",misbehave=late:by=1ms:every=1000", count: 12)
    #expect(throws: Failure.self) { try EmulatedDevice(parsing: text) }
  }
}
