import CBulkhead
import Glibc
import Logging
import Platform
import Protocol
import Testing

@testable import PCI
@testable import Supervisor

/// The socket for NBD clients, which outlives the supervisor.
@Suite struct KeptSocketTests {
  private let folder = TemporaryFolder()
  private let manager: ServiceManager
  private let name = "nbd/ffff-00-00.0/0"

  init() throws { manager = try ServiceManager() }

  /// A supervisor with a disk that is ready for its first broker.
  private func session(_ name: String = "scratch", hasSocket: Bool = true) throws -> DeviceSession {
    var paths = Paths()
    paths.runtime = "\(folder.path)/run"
    _ = FileText.makeDirectories(paths.state)
    var log = Logger(label: "test")
    log.logLevel = .critical
    let files = FileStore(notification: manager.notification, inherited: try manager.handOver(), log: log)
    let host = Host(loop: EventLoop(), paths: paths, log: log, isPrivileged: false, files: files)
    var settings = DeviceSettings()
    settings.outlet.kernel = .never
    settings.outlet.socket = hasSocket
    let manifest = DriverManifest(
      name: "disk", deviceClass: .block, executable: "disk", matches: [], bars: [0], interrupts: 1, queues: 1,
      arenaSize: 1 << 20, mapsPayload: false, options: [])
    let location = SourceLocation(file: "test")
    let session = DeviceSession(
      Assignment(
        hardware: .emulated(try EmulatedDevice(parsing: "nvme,size=1M")), name: name,
        entry: DeviceEntry(name: name, settings: settings, location: location),
        driver: InstalledDriver(manifest: manifest, executablePath: "/nowhere", location: location)), host: host)
    guard case .ready = session.prepare() else { throw Failure("rig", "prepare: not ready") }
    return session
  }

  @Test func clientsWaitForTheNextSupervisor() throws {
    var path = ""
    do {
      let killed = try session()
      path = killed.socketPath
      #expect(try manager.names() == [name])
    }
    // Nobody is there, and nobody is refused.
    let client = unixClient(of: path)
    #expect(client >= 0)
    let next = try session()
    let listener = try #require(next.outlet?.brokerFiles.first)
    let served = bh_unix_accept(listener)
    #expect(served >= 0)
    #expect(try manager.names() == [name], "nothing is kept twice")
    #expect(fcntl(listener, F_GETFD) & FD_CLOEXEC != 0)
    #expect(next.release(isGone: false) == nil)
    #expect(try manager.names().isEmpty && !FileText.exists(path))
    #expect(unixClient(of: path) < 0)
    for file in [client, served] { close(file) }
  }

  @Test func onlyWhereItListens() throws {
    _ = try session()
    // The device has another name now.
    let renamed = try session("other")
    #expect(try manager.names() == [name])
    let client = unixClient(of: renamed.socketPath)
    #expect(client >= 0)
    close(client)
    #expect(renamed.release(isGone: false) == nil)
    // Somebody has removed the socket's file.
    do { unlink(try session().socketPath) }
    let next = try session()
    let other = unixClient(of: next.socketPath)
    #expect(other >= 0)
    close(other)
    #expect(next.release(isGone: false) == nil)
  }

  @Test func whatIsNoSocketIsNotUsed() throws {
    let file = Descriptor(owning: try #require(Int32(exactly: open("/dev/null", O_RDWR | O_CLOEXEC))))
    manager.notification.send("FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", files: [file.number])
    let session = try session()
    let client = unixClient(of: session.socketPath)
    #expect(client >= 0)
    close(client)
    #expect(session.release(isGone: false) == nil)
    #expect(try manager.names().isEmpty)
  }

  @Test func withoutASocketThereIsNone() throws {
    _ = try session()
    let next = try session(hasSocket: false)
    #expect(next.release(isGone: false) == nil)
    #expect(try manager.names().isEmpty)
  }
}
