import CBulkhead
import Glibc
import Logging
import Platform
import Protocol
import Testing

@testable import Control
@testable import PCI
@testable import Supervisor

/// A daemon's world without the daemon: emulated devices need nothing of the machine but a folder.
private final class World {
  let folder = TemporaryFolder()
  let host: Host

  init() {
    var paths = Paths()
    paths.runtime = "\(folder.path)/run"
    precondition(FileText.makeDirectories(paths.state) == 0)
    var log = Logger(label: "test")
    log.logLevel = .critical
    host = Host(loop: EventLoop(), paths: paths, log: log, isPrivileged: false)
  }

  /// A session of a device; `NAME` in the text is the folder's path.
  func session(_ text: String, number: Int = 0) throws -> DeviceSession {
    let log = IssueLog()
    let device = try EmulatedDevice(parsing: text.components(separatedBy: "FOLDER").joined(separator: folder.path))
    var configuration = ConfigurationLoader(
      file: nil, directory: nil, driverDirectories: [], emulated: [("text", device)]
    ).load(log: log, known: ["emulated0": EmulatedDevice.address(number)])
    configuration.entries[0].settings.driver = .named("nvme")
    let assignment = try #require(configuration.assignments(of: [], log: log).first)
    let session = DeviceSession(assignment, host: host)
    (session.source as? EmulatedSource)?.patience = 0
    return session
  }

  func size(_ file: Int32) -> Int {
    var found = stat()
    return fstat(file, &found) == 0 ? Int(found.st_size) : -1
  }
}

@Suite struct EmulatedSourceTests {
  @Test func itTakesAndGivesBackAFile() throws {
    let world = World()
    let session = try world.session("nvme,file=FOLDER/disk.img,size=1M,namespaces=2,lba=4096")
    #expect(session.source.isPresent)
    #expect(session.source.brokerFiles == [])
    guard case .ready = session.prepare() else { return #expect(Bool(false), "not ready") }
    try #require(session.source.brokerFiles.count == 1)
    #expect(world.size(session.source.brokerFiles[0]) == 2 << 20)
    #expect(FileText.exists(session.socketPath))
    var configuration = try blank()
    try session.source.complete(&configuration)
    #expect(configuration.emulation == "nvme,size=1048576,lba=4096,namespaces=2")
    #expect(configuration.group == 0)
    let shown = Device(session)
    #expect(shown.emulation?.file == "\(world.folder.path)/disk.img")
    #expect(shown.emulation?.size == 2 << 20)
    #expect(shown.kernelDriver == nil)
    #expect(session.release(isGone: false) == nil)
    #expect(session.source.brokerFiles == [])
    #expect(!FileText.exists(session.socketPath))
    #expect(FileText.exists("\(world.folder.path)/disk.img"))
  }

  @Test func memoryLivesFromStartToStop() throws {
    let world = World()
    let session = try world.session("nvme,size=1M")
    guard case .ready = session.prepare() else { return #expect(Bool(false), "not ready") }
    let file = session.source.brokerFiles[0]
    #expect(pwrite(file, "x", 1, 4096) == 1)
    // As a start after a broker that died too often does.
    guard case .ready = session.prepare() else { return #expect(Bool(false), "not ready") }
    var byte = UInt8(0)
    #expect(session.source.brokerFiles == [file])
    #expect(pread(file, &byte, 1, 4096) == 1 && byte == UInt8(ascii: "x"))
    #expect(session.release(isGone: false) == nil)
    guard case .ready = session.prepare() else { return #expect(Bool(false), "not ready") }
    #expect(pread(session.source.brokerFiles[0], &byte, 1, 4096) == 1 && byte == 0)
  }

  @Test func twoDevicesDoNotShareAFile() throws {
    let world = World()
    let first = try world.session("nvme,file=FOLDER/disk.img,size=1M")
    let second = try world.session("nvme,file=FOLDER/./disk.img", number: 1)
    guard case .ready = first.prepare() else { return #expect(Bool(false), "not ready") }
    guard case .refused(let refusals) = second.prepare() else { return #expect(Bool(false), "not refused") }
    #expect(refusals.map(\.code) == ["medium-taken"])
    #expect(
      refusals.first?.message
        == "\(world.folder.path)/./disk.img is in use by ffff:00:00.0 (emulated0)")
    #expect(first.release(isGone: false) == nil)
    guard case .ready = second.prepare() else { return #expect(Bool(false), "not ready") }
  }

  @Test func aFileThatAnotherProcessHasIsRefused() throws {
    let world = World()
    let path = world.folder.put("disk.img", String(repeating: "\0", count: 1 << 20))
    // A lock of another opening of the file is as good as one of another process.
    let other = open(path, O_RDWR | O_CLOEXEC)
    defer { close(other) }
    try #require(bh_lock_file(other) == 0)
    let session = try world.session("nvme,file=FOLDER/disk.img")
    guard case .refused(let refusals) = session.prepare() else { return #expect(Bool(false), "not refused") }
    #expect(refusals.first?.message == "\(path) is in use by another process")
  }

  @Test func readersShareAFile() throws {
    let world = World()
    world.folder.put("disk.img", String(repeating: "\0", count: 1 << 20))
    let first = try world.session("nvme,file=FOLDER/disk.img,readonly=on")
    let second = try world.session("nvme,file=FOLDER/disk.img,readonly=on", number: 1)
    guard case .ready = first.prepare() else { return #expect(Bool(false), "not ready") }
    guard case .ready = second.prepare() else { return #expect(Bool(false), "not ready") }
  }

  @Test(arguments: [
    ("nvme,file=FOLDER/missing/disk.img,size=1M", ENOENT, ""),
    ("nvme,file=FOLDER", EISDIR, ""),
    ("nvme,file=FOLDER/empty.img", 0, "say size="),
  ])
  func whatCannotBeAMediumFails(_ text: String, _ errno: Int32, _ hint: String) throws {
    let world = World()
    world.folder.put("empty.img")
    let session = try world.session(text)
    guard case .failed(let failure) = session.prepare() else { return #expect(Bool(false), "not failed") }
    #expect(failure.code == "emulated-image")
    #expect(failure.errno == errno)
    #expect(failure.hint.hasPrefix(hint))
    #expect(failure.step.contains(world.folder.path))
  }

  @Test func aChangeIsTakenUpAtTheNextStart() throws {
    let world = World()
    let session = try world.session("nvme,file=FOLDER/a.img,size=1M")
    guard case .ready = session.prepare() else { return #expect(Bool(false), "not ready") }
    let other = try world.session("nvme,file=FOLDER/b.img,size=1M")
    session.assignment = other.assignment
    session.source.update(try #require(other.assignment).hardware)
    #expect(Device(session).emulation?.file == "\(world.folder.path)/a.img")
    #expect(session.release(isGone: false) == nil)
    guard case .ready = session.prepare() else { return #expect(Bool(false), "not ready") }
    #expect(Device(session).emulation?.file == "\(world.folder.path)/b.img")
  }

  @Test func thereIsNothingToCheck() throws {
    let session = try World().session("nvme")
    let check = try #require(session.source.isolation)
    #expect(check.isolatable)
    #expect(check.notes.first?.hasPrefix("nothing to check") == true)
  }

  private func blank() throws -> BrokerConfiguration {
    BrokerConfiguration(
      address: "", group: 0, deviceClass: .block, uid: 1, bars: 1, interrupts: 1, queues: 1, queueSize: 256,
      arenaSize: 4096, payloadSize: 4096, mapsPayload: false, readOnly: false, unitLimit: 1, kernelConnections: 0,
      heartbeatInterval: 1, heartbeatTimeout: 1, startTimeout: 1, spinMicroseconds: 0, interruptLimit: 0)
  }
}
