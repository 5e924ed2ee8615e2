import Testing

@testable import PCI
@testable import Supervisor

private let address = PCIAddress("0000:01:00.0")!
private let disks = machine(
  ("0000:01:00.0", 0x1b36, 0x0010, 0x01_0802), ("0000:02:00.0", 0x1b36, 0x0010, 0x01_0802))

private let allDisks = "[[device]]\nname = \"disk\"\nclass = \"nvme\"\ndriver = \"nvme\"\n"

@Suite struct DropInTests {
  private func taken(_ configuration: Configuration) throws -> [String] {
    try disks.compactMap { try configuration.assignment(of: $0, among: disks)?.name }
  }

  @Test(arguments: [
    DropIn(address, .attach(driver: "nvme", name: "scratch")), DropIn(address, .attach(driver: "auto", name: nil)),
    DropIn(address, .attach(driver: "none", name: nil)), DropIn(address, .detach),
  ])
  func whatIsWrittenIsKnownAgain(_ dropIn: DropIn) throws {
    let folder = ConfigurationFolder("", dropIns: [dropIn.fileName: dropIn.text])
    let (configuration, issues) = folder.load()
    #expect(issues == [])
    let entry = try #require(configuration.entries.first)
    #expect(DropIn(entry, text: dropIn.text) == dropIn)
    #expect(DropIn(entry, text: dropIn.text + "# mine\n") == nil, "an edited file is the administrator's")
    #expect(DropIn(entry, text: dropIn.text + "force = true\n") == nil)
  }

  @Test func aFileOfAnotherNameIsTheAdministrators() throws {
    let dropIn = DropIn(address, .attach(driver: "nvme", name: nil))
    let folder = ConfigurationFolder("", dropIns: ["99-mine.toml": dropIn.text])
    let entry = try #require(folder.load().configuration.entries.first)
    #expect(DropIn(entry, text: dropIn.text) == nil)
  }

  @Test func whatIsTheKernelsOverrulesAllOthers() throws {
    let dropIn = DropIn(address, .detach)
    let folder = ConfigurationFolder(allDisks, dropIns: [dropIn.fileName: dropIn.text])
    let (configuration, issues) = folder.load()
    #expect(issues == [], "it is no second entry")
    // The other one keeps the name that it has with both.
    #expect(try taken(configuration) == ["disk-0000-02-00-0"])
    #expect(configuration.exemption(of: disks[0])?.location.file.hasSuffix(dropIn.fileName) == true)
    #expect(configuration.entry(naming: address) == nil)
    #expect(try configuration.takingAssignment(of: disks[0], among: disks)?.name == "disk-0000-01-00-0")
  }

  @Test func theKernelCannotBeADefault() {
    let (_, issues) = ConfigurationFolder("[defaults]\ndriver = \"kernel\"\n").load()
    #expect(issues.count == 1)
    #expect(issues.first?.hasPrefix("bulkhead.toml:2:10: error: \"driver\" cannot be \"kernel\" by default") == true)
  }

  @Test func whatLastsUntilTheNextBootGivesWay() throws {
    let folder = ConfigurationFolder("[[device]]\nname = \"mine\"\naddress = \"01:00.0\"\ndriver = \"nvme\"\n")
    var loader = folder.loader
    loader.runtimeDirectory = "\(folder.path)/run"
    let dropIn = DropIn(address, .attach(driver: "nvme", name: "his"))
    loader.pending = [dropIn.path(in: "\(folder.path)/run"): dropIn.text]
    let log = IssueLog()
    let configuration = loader.load(log: log)
    #expect(log.issues == [])
    #expect(configuration.entries.map(\.isTransient) == [false, true])
    #expect(try taken(configuration) == ["mine"])
    // For good, it would be a second entry.
    loader.pending = [dropIn.path(in: "\(folder.path)/bulkhead.d"): dropIn.text]
    _ = loader.load(log: log)
    #expect(log.issues.map(\.message).first?.contains("a second entry for 0000:01:00.0") == true)
  }

  @Test func pendingTextsCountInTheirFilesPlace() throws {
    let folder = ConfigurationFolder("", dropIns: ["10-disks.toml": allDisks])
    var loader = folder.loader
    let path = "\(folder.path)/bulkhead.d/10-disks.toml"
    let log = IssueLog()
    #expect(try taken(loader.load(log: log)).count == 2)
    loader.pending = [path: nil]
    #expect(try taken(loader.load(log: log)) == [])
    loader.pending = [path: DropIn(address, .attach(driver: "auto", name: "one")).text]
    #expect(try taken(loader.load(log: log)) == ["one"])
    #expect(log.issues == [])
  }

  @Test func aChangeIsOnTheDiskBeforeItIsInItsPlace() throws {
    let folder = TemporaryFolder()
    let directory = "\(folder.path)/bulkhead.d"
    let old = folder.put("bulkhead.d/50-detach-\(address).toml", "# old\n")
    var change = DropInChange()
    change.write(DropIn(address, .attach(driver: "nvme", name: nil)), in: directory)
    change.remove(old)
    try change.stage()
    let name = "50-attach-\(address).toml"
    #expect(FileText.names(in: directory) == ["\(name).new", "50-detach-\(address).toml"])
    change.discard()
    #expect(FileText.names(in: directory) == ["50-detach-\(address).toml"])
    try change.stage()
    try change.commit()
    #expect(FileText.names(in: directory) == [name])
    #expect(FileText.contents("\(directory)/\(name)") == DropIn(address, .attach(driver: "nvme", name: nil)).text)
  }

  @Test func whatCannotBeWrittenIsSaid() {
    let folder = TemporaryFolder()
    folder.put("bulkhead.d", "a file, not a folder")
    var change = DropInChange()
    change.write(DropIn(address, .detach), in: "\(folder.path)/bulkhead.d")
    #expect { try change.stage() } throws: { "\($0)".contains("ENOTDIR") }
  }
}

@Suite struct DriverListingTests {
  @Test func brokenManifestsAreShownBesideTheOthers() {
    let folder = ConfigurationFolder(
      "", manifests: ["nvme": nvmeManifest, "broken": "name = \"broken\"\nclass = \"tape\"\n", "empty": "["])
    let drivers = folder.loader.driverListing { $0 == "nvme" ? ["0000:01:00.0"] : [] }
    #expect(drivers.map(\.name) == ["broken", "empty", "nvme"])
    #expect(drivers[0].issues.contains { $0.line == 2 && $0.message.contains("\"class\" must be one of") })
    #expect(drivers[1].issues.count == 1)
    #expect(drivers[2].matches == ["class 010802"])
    #expect(drivers[2].devices == ["0000:01:00.0"])
    #expect(drivers[2].options == ["queue-depth"])
    #expect(drivers[2].version == nil)
  }

  @Test func aManifestMayTellTheVersion() {
    let folder = ConfigurationFolder("", manifests: ["nvme": "version = \"1.2\"\n" + nvmeManifest])
    #expect(folder.loader.driverListing { _ in [] }.first?.version == "1.2")
    let wrong = ConfigurationFolder("", manifests: ["nvme": "version = \"1 2\"\n" + nvmeManifest])
    let issue = wrong.loader.driverListing { _ in [] }.first?.issues.first
    #expect(issue?.line == 1 && issue?.column == 11 && issue?.message.contains("\"version\" must be") == true)
  }
}

@Suite struct ForgettingTests {
  @Test func failuresAreForgottenAndNothingIsStarted() {
    let life = Life { $0.restart.burst = 1 }
    life.run()
    life.controller.violated(.dmaFault, count: 2, detail: "x", time: 1)
    #expect(life.controller.restarts == 1)
    #expect(life.controller.ledger.entries.count == 1)
    life.controller.driverEnded("killed", byItself: false)
    life.controller.quiesced()
    life.controller.deadlineReached()
    life.controller.driverReady()
    #expect(life.controller.state == .running)
    _ = life.actions.taken()
    life.controller.forget()
    #expect(life.controller.restarts == 0)
    #expect(life.controller.ledger.entries == [])
    #expect(life.controller.reason == "")
    #expect(life.actions.taken() == [])
    // And its burst is whole again: it is restarted and not put into quarantine.
    life.controller.driverFailed("again")
    #expect(life.controller.state == .endingDriver)
  }
}
