import Glibc
import Testing

@testable import Control
@testable import Supervisor

@Suite struct InstallationTests {
  @Test func aBuildFolderUsesItsOwnParts() {
    let folder = TemporaryFolder()
    folder.put("tree/.build/linux/debug/bulkhead-broker", mode: 0o755)
    folder.put("tree/udrivers/nvme/nvme.toml")
    let build = "\(folder.path)/tree/.build/linux/debug"
    let found = Installation(libexec: nil, driverDirectories: [], folder: build)
    #expect(found.libexec == build)
    #expect(found.driverDirectories == ["\(folder.path)/tree/udrivers"])
    #expect(found.executableDirectories == [build])
    folder.put("tree/.build/linux/debug/drivers/nvme.toml")
    #expect(Installation(libexec: nil, driverDirectories: [], folder: build).driverDirectories == ["\(build)/drivers"])
  }

  @Test func elsewhereTheInstalledOnesAreUsed() {
    let folder = TemporaryFolder()
    let found = Installation(libexec: nil, driverDirectories: [], folder: folder.path)
    #expect(found.libexec == "/usr/lib/bulkhead")
    #expect(found.driverDirectories == ["/usr/lib/bulkhead/drivers"])
  }

  @Test func whatIsGivenCounts() {
    let folder = TemporaryFolder()
    folder.put("bulkhead-broker", mode: 0o755)
    let found = Installation(libexec: "/opt/b", driverDirectories: ["/d"], folder: folder.path)
    #expect(found.libexec == "/opt/b")
    #expect(found.driverDirectories == ["/d"])
    #expect(
      Installation(libexec: folder.path, driverDirectories: [], folder: "/nowhere").driverDirectories
        == ["\(folder.path)/drivers"])
  }

  @Test func manifestsMayBeOneLevelBelowAndExecutablesElsewhere() {
    let folder = TemporaryFolder()
    folder.put("udrivers/nvme/nvme.toml", nvmeManifest)
    folder.put("udrivers/nvme/deeper/other.toml", "nonsense")
    folder.put("build/nvme", mode: 0o755)
    let loader = ConfigurationLoader(
      file: nil, directory: nil, driverDirectories: ["\(folder.path)/udrivers"],
      executableDirectories: ["\(folder.path)/build"])
    let log = IssueLog()
    let drivers = loader.load(log: log).drivers
    #expect(log.issues == [])
    #expect(drivers.map(\.executablePath) == ["\(folder.path)/build/nvme"])
    // Beside its manifest it is the one that was meant.
    folder.put("udrivers/nvme/nvme", mode: 0o755)
    #expect(loader.load(log: log).drivers.map(\.executablePath) == ["\(folder.path)/udrivers/nvme/nvme"])
  }
}

@Suite struct RuntimeFolderTests {
  @Test(arguments: [
    (UInt32(0), String?.some("/run/user/0"), "/run/bulkhead"),
    (1000, "/run/user/1000", "/run/user/1000/bulkhead"),
    (1000, nil, "/tmp/bulkhead-1000"),
    (1000, "", "/tmp/bulkhead-1000"),
    (1000, "relative", "/tmp/bulkhead-1000"),
  ])
  func eachUserHasOne(_ uid: UInt32, _ session: String?, _ expected: String) {
    #expect(RuntimeFolder.standard(uid: uid, session: session) == expected)
  }

  @Test func aFolderThatOthersCouldHaveMadeIsNotOurs() {
    let folder = TemporaryFolder()
    #expect(FileText.isOwn(folder.path))
    chmod(folder.path, 0o777)
    #expect(!FileText.isOwn(folder.path))
    #expect(!FileText.isOwn("\(folder.path)/missing"))
    #expect(!FileText.isOwn("/proc/self/cwd"))
  }
}

@Suite struct NBDAddressTests {
  @Test(arguments: [
    ("/run/bulkhead/nbd/disk.sock", "", "nbd+unix:///?socket=/run/bulkhead/nbd/disk.sock"),
    ("/run/b/disk.sock", "disk-ns2", "nbd+unix:///disk-ns2?socket=/run/b/disk.sock"),
    ("/tmp/a b&c#d%\u{e9}", "", "nbd+unix:///?socket=/tmp/a%20b%26c%23d%25%C3%A9"),
  ])
  func itIsWrittenAsClientsReadIt(_ socket: String, _ export: String, _ uri: String) {
    #expect("\(NBDAddress(socket: socket, export: export))" == uri)
  }
}
