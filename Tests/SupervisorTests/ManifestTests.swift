import Testing

@testable import Supervisor

@Suite struct ManifestTests {
  private func read(_ text: String, isExecutable: Bool = true) -> (driver: InstalledDriver?, issues: [String]) {
    let log = IssueLog()
    let driver = ManifestReader.read(text, file: "/d/nvme.toml", log: log) { _ in isExecutable }
    return (driver, log.issues.map(\.description))
  }

  @Test func theExampleIsRead() throws {
    let (driver, issues) = read(nvmeManifest)
    #expect(issues == [])
    let manifest = try #require(driver).manifest
    #expect(manifest.name == "nvme")
    #expect(manifest.deviceClass == .block)
    #expect(manifest.bars == [0])
    #expect(manifest.interrupts == 5)
    #expect(manifest.queues == 4)
    #expect(manifest.arenaSize == 4 << 20)
    #expect(!manifest.mapsPayload)
    #expect(manifest.options == ["queue-depth"])
    #expect(manifest.matches.map(\.classCode) == [0x01_0802])
    #expect(driver?.executablePath == "/d/nvme")
  }

  @Test func theQueueSizeIsOptional() throws {
    #expect(try #require(read(nvmeManifest).driver).manifest.queueSize == nil)
    #expect(try #require(read("queue-size = 1024\n" + nvmeManifest).driver).manifest.queueSize == 1024)
  }

  @Test func aMissingExecutableIsSaid() {
    let (driver, issues) = read(nvmeManifest, isExecutable: false)
    #expect(driver == nil)
    #expect(issues.first?.contains("the driver's executable /d/nvme is missing") == true)
  }

  @Test(arguments: ["name", "class", "executable", "interrupts", "queues", "arena"])
  func eachRequiredKeyIsMissed(_ key: String) {
    // The class of the [[match]] stays.
    var isFirst = true
    let text = nvmeManifest.split(separator: "\n").filter { line in
      guard isFirst, line.hasPrefix("\(key) =") else { return true }
      isFirst = false
      return false
    }.joined(separator: "\n")
    let issues = read(text).issues
    #expect(issues.count == 1)
    #expect(issues.first?.contains("/d/nvme.toml: error: the manifest has no \"\(key)\"") == true, "\(issues)")
  }

  @Test(arguments: [
    ("bars = [0]", "bars = [6]", "5:9: error: a BAR is a number from 0 to 5, not the integer 6"),
    ("bars = [0]", "bars = 0", "\"bars\" must be an array of BAR numbers"),
    ("interrupts = 5", "interrupts = 49", "\"interrupts\" must be a whole number from 1 to 48"),
    ("queues = 4", "queues = 0", "\"queues\" must be a whole number from 1 to 32"),
    ("queues = 4", "queues = 4\nqueue-size = 100", "\"queue-size\" must be a power of two from 4 to 1024"),
    ("arena = \"4M\"", "arena = \"1G\"", "\"arena\" must be a size from 4K to 256M"),
    ("executable = \"nvme\"", "executable = \"../sh\"", "a file name without a slash"),
    ("class = \"block\"", "class = \"blokc\"", "did you mean \"block\"?"),
    ("class = \"010802\"", "class = \"0108\"", "six hexadecimal digits"),
    ("class = \"010802\"", "", "the match fits every device"),
    ("[[match]]", "[match]", "begin each with a line [[match]]"),
    ("maps-payload = false", "map-payload = false", "did you mean \"maps-payload\"?"),
  ])
  func mistakesAreExplained(_ old: String, _ new: String, _ piece: String) {
    let text = nvmeManifest.components(separatedBy: old).joined(separator: new)
    let (driver, issues) = read("\n" + text)
    #expect(driver == nil)
    #expect(issues.contains { $0.contains(piece) }, "\(issues)")
  }
}
