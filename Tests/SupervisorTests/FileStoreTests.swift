import Glibc
import Logging
import PCI
import Platform
import Testing

@testable import Supervisor

/// What systemd keeps for the next supervisor.
@Suite struct FileStoreTests {
  private let nic = PCIAddress("0000:03:00.0")!
  private let disk = PCIAddress("0000:01:00.0")!
  private let manager: ServiceManager

  init() throws { manager = try ServiceManager() }

  private func store(limit: Int = FileStore.standardLimit) throws -> FileStore {
    var log = Logger(label: "test")
    log.logLevel = .critical
    return FileStore(notification: manager.notification, inherited: try manager.handOver(), limit: limit, log: log)
  }

  /// A file that others can tell from other files.
  private func file(_ mark: UInt8) throws -> Descriptor {
    var ends: (Int32, Int32) = (-1, -1)
    let result = withUnsafeMutablePointer(to: &ends) {
      $0.withMemoryRebound(to: Int32.self, capacity: 2) { pipe($0) }
    }
    try #require(result == 0)
    try #require(write(ends.1, [mark], 1) == 1)
    close(ends.1)
    return Descriptor(owning: ends.0)
  }

  private func mark(of file: Int32) -> UInt8? {
    var byte: UInt8 = 0
    return read(file, &byte, 1) == 1 ? byte : nil
  }

  @Test func namesAreReadAsTheyAreWritten() throws {
    for file in [
      StoredFile(.tap, of: nic, 0), StoredFile(.tap, of: nic, 17), StoredFile(.nbd, of: disk),
      StoredFile(.tap, of: try #require(PCIAddress("10000:e1:1f.7")), 1),
    ] {
      #expect(StoredFile(name: file.description) == file)
    }
    #expect(StoredFile(.tap, of: nic, 1).description == "tap/0000-03-00.0/1")
    for wrong in [
      "", "stored", "tap", "tap/0000-03-00.0", "tap/0000-03-00.0/", "tap/0000-03-00.0/x", "tap/03-00.0/1",
      "tap/0000:03:00.0/1", "tap/0000-03-00.0/01", "tap/0000-03-00.0/+1", "tap/0000-03-00.0/1/2", "vfio/0000-03-00.0/1",
      "tap/0000-03-00.9/1", "tap/0000-03-00.A/1", "tap/0000-0A-00.0/1",
    ] {
      #expect(StoredFile(name: wrong) == nil, "\(wrong)")
    }
  }

  @Test func theNextSupervisorHasThem() throws {
    let first = try store()
    let one = try file(1)
    let two = try file(2)
    first.keep(two.number, as: StoredFile(.tap, of: nic, 1))
    first.keep(one.number, as: StoredFile(.tap, of: nic, 0))
    #expect(try manager.names() == ["tap/0000-03-00.0/0", "tap/0000-03-00.0/1"])
    #expect(!first.holds(nic), "they are its own, not an earlier one's")
    let next = try store()
    #expect(next.holds(nic) && !next.holds(disk))
    #expect(next.take(.nbd, of: nic).isEmpty)
    let taken = next.take(.tap, of: nic)
    #expect(taken.map(\.name.number) == [0, 1])
    #expect(taken.map { mark(of: $0.file) } == [1, 2])
    #expect(!next.holds(nic) && next.take(.tap, of: nic).isEmpty)
    // It says so as for a new one; systemd has it already.
    for (name, file) in taken { next.keep(file, as: name) }
    #expect(try manager.names().count == 2, "each restart would add a copy")
    next.forget(taken[0].name)
    #expect(try manager.names() == ["tap/0000-03-00.0/1"])
    next.forgetAll(of: nic, because: "test")
    next.forget(taken[0].name)
    #expect(try manager.names().isEmpty && manager.heard.isEmpty)
    for (_, file) in taken { close(file) }
  }

  @Test func whatNobodyKnowsIsClosed() throws {
    let descriptor = try file(1)
    for name in ["stored", "tap/nonsense", "vfio/0000-03-00.0/0"] {
      manager.notification.send("FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", files: [descriptor.number])
    }
    #expect(try manager.names().count == 3)
    let inherited = try manager.handOver()
    var log = Logger(label: "test")
    log.logLevel = .critical
    _ = FileStore(notification: manager.notification, inherited: inherited, log: log)
    #expect(try manager.names().isEmpty)
    // Other tests may have opened files since that have the numbers now.
    let identity = FileIdentity(of: descriptor.number)
    for file in inherited { #expect(FileIdentity(of: file.number) != identity) }
  }

  @Test func twoOfOneNameBecomeOne() throws {
    let one = try file(1)
    let two = try file(2)
    let name = StoredFile(.nbd, of: disk)
    for descriptor in [one.number, two.number] {
      manager.notification.send("FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", files: [descriptor])
    }
    let next = try store()
    #expect(try manager.names().isEmpty)
    let taken = next.take(.nbd, of: disk)
    #expect(taken.count == 1 && mark(of: taken[0].file) == 1)
    next.keep(taken[0].file, as: name)
    #expect(try manager.names() == ["\(name)"])
    close(taken[0].file)
  }

  @Test func whatBelongsToNoDeviceOfOursIsForgotten() throws {
    let descriptor = try file(1)
    let first = try store()
    first.keep(descriptor.number, as: StoredFile(.tap, of: nic))
    first.keep(descriptor.number, as: StoredFile(.nbd, of: disk))
    let next = try store()
    next.forgetAll(except: [disk])
    #expect(try manager.names() == ["nbd/0000-01-00.0/0"])
    #expect(!next.holds(nic) && next.holds(disk))
    // One that was to be taken and never was.
    next.forgetAll(of: disk, .tap, because: "test")
    #expect(next.holds(disk))
    next.forgetAll(of: disk, because: "test")
    #expect(!next.holds(disk))
    #expect(try manager.names().isEmpty)
  }

  @Test func thereIsALimit() throws {
    let descriptor = try file(1)
    let store = try store(limit: 2)
    for number in 0..<4 { store.keep(descriptor.number, as: StoredFile(.tap, of: nic, number)) }
    #expect(try manager.names() == ["tap/0000-03-00.0/0", "tap/0000-03-00.0/1"])
    store.forget(StoredFile(.tap, of: nic, 0))
    store.keep(descriptor.number, as: StoredFile(.tap, of: nic, 3))
    #expect(try manager.names() == ["tap/0000-03-00.0/1", "tap/0000-03-00.0/3"])
  }

  @Test func withoutSystemdNothingHappens() throws {
    let descriptor = try file(1)
    let store = FileStore(log: Logger(label: "test"))
    #expect(!store.isThere)
    store.keep(descriptor.number, as: StoredFile(.tap, of: nic))
    #expect(store.kept.isEmpty && !store.holds(nic))
    store.forgetAll(of: nic, because: "test")
    // systemd does not answer: that is said, and nothing else.
    var log = Logger(label: "test")
    log.logLevel = .critical
    let deaf = FileStore(notification: ServiceNotification(socket: "/nowhere/notify"), log: log)
    deaf.keep(descriptor.number, as: StoredFile(.tap, of: nic))
    #expect(deaf.kept.isEmpty)
  }
}
