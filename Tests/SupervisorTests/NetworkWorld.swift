import CBulkhead
import Glibc
import Logging
import NamespaceRig
import Netlink
import Platform
import Protocol
import Testing

@testable import Control
@testable import PCI
@testable import Supervisor

/// Changes an interface as an administrator does.
func ip(_ words: String...) throws { try NamespaceRig.run(["ip"] + words) }

/// A session of a device whose driver is of the network class, without the driver and with the broker's end of the
/// conversation in the test's hands. What is in the kernel is real.
final class NetworkWorld {
  let folder = TemporaryFolder()
  let host: Host
  let session: DeviceSession
  private(set) var events: [Service.Event] = []
  private(set) var configuration: BrokerConfiguration?
  /// What the broker was told, without its numbers.
  private(set) var settings: [NetworkSettings] = []
  private(set) var sequences: [UInt32] = []
  private var heard = 0
  private var broker: ControlChannel<BrokerEvent, BrokerCommand>?

  static let address = HardwareAddress(0x52, 0x54, 0, 0, 0, 1)
  static let port = NetworkPort(
    address: address, maximumMTU: 4000, offloads: [.transmitChecksum], queuePairs: 1, model: "a NIC", firmware: "1.8")

  /// - Parameters:
  ///   - earlier: a world whose supervisor was killed.
  ///   - manager: what keeps the files of this one, and has those of an earlier one.
  init(
    after earlier: NetworkWorld? = nil, keeping manager: ServiceManager? = nil,
    _ change: (inout DeviceSettings) -> Void = { _ in }
  ) throws {
    var paths = Paths()
    paths.runtime = "\((earlier?.folder ?? folder).path)/run"
    _ = FileText.makeDirectories(paths.state)
    var log = Logger(label: "test")
    log.logLevel = .critical
    let files = try manager.map {
      FileStore(notification: $0.notification, inherited: try $0.handOver(), log: log)
    }
    host = Host(loop: EventLoop(), paths: paths, log: log, isPrivileged: false, files: files)
    var settings = DeviceSettings()
    settings.outlet.interface.datapath = .broker
    change(&settings)
    let manifest = DriverManifest(
      name: "nic", deviceClass: .network, executable: "nic", matches: [], bars: [0], interrupts: 3, queues: 4,
      arenaSize: 1 << 20, mapsPayload: false, options: [])
    let location = SourceLocation(file: "test")
    let device = try EmulatedDevice(parsing: "nvme,size=1M")
    session = DeviceSession(
      Assignment(
        hardware: .emulated(device), name: "nic",
        entry: DeviceEntry(name: "nic", settings: settings, location: location),
        driver: InstalledDriver(manifest: manifest, executablePath: "/nowhere", location: location)), host: host)
    host.publish = { [weak self] in self?.events.append($0) }
  }

  /// Runs `body` in a namespace of its own, with a device whose interface is there, and releases it.
  static func prepared(_ body: (NetworkWorld) throws -> Void) throws {
    try NamespaceRig.run {
      let world = try NetworkWorld()
      try world.prepare()
      try body(world)
      _ = world.session.release(isGone: false)
    }
  }

  /// The same with a broker, which has no driver yet.
  static func served(_ body: (NetworkWorld) throws -> Void) throws {
    try prepared { world in
      try world.startBroker()
      try body(world)
    }
  }

  deinit {
    endBroker()
    if let broker { close(broker.socket) }
  }

  /// Ends the process and waits for it: as long as there is a child that nobody has waited for, swift-testing's exit tests,
  /// which wait for any child, may not see their own.
  private func endBroker() {
    guard let process = session.broker?.process else { return }
    process.kill()
    waitpid(process.pid, nil, 0)
    session.broker = nil
  }

  var outlet: NetworkOutlet {
    get throws { try #require(session.outlet as? NetworkOutlet) }
  }

  func link(_ name: String = "bh-nic") throws -> Link? { try LinkControl().link(named: name) }

  func prepare() throws {
    guard case .ready = session.prepare() else { throw Failure("rig", "prepare: not ready") }
  }

  /// What the session does at a broker's start, with a process that only waits.
  func startBroker() throws {
    var configuration = BrokerConfiguration(
      address: "", group: 0, deviceClass: .network, uid: 1, bars: 1, interrupts: 1, queues: 1, queueSize: 256,
      arenaSize: 4096, payloadSize: 0, mapsPayload: true, readOnly: false, unitLimit: 1, kernelConnections: 0,
      heartbeatInterval: 1, heartbeatTimeout: 1, startTimeout: 1, spinMicroseconds: 0, interruptLimit: 0)
    try outlet.complete(&configuration)
    self.configuration = configuration
    try outlet.brokerStarted()
    let (ours, theirs) = try PacketSocket.pair()
    if let broker { close(broker.socket) }
    broker = ControlChannel(socket: theirs)
    let (pipe, writeEnd) = try LogPipe.make(loop: host.loop) { _, _ in }
    Descriptor.close(writeEnd)
    endBroker()
    let process = try ChildProcess(
      ChildProcess.Specification(
        executable: "/bin/sleep", arguments: ["sleep", "60"], files: [], diesWithUs: true), loop: host.loop
    ) { [weak self] _ in
      self?.session.broker = nil
      try? self?.outlet.brokerEnded()
    }
    session.broker = BrokerLink(process: process, log: pipe, socket: ours, loop: host.loop) { [weak self] in
      self?.heard += 1
      self?.session.handle($0, $1)
    }
    try outlet.brokerConfigured()
  }

  /// The broker says something.
  func say(_ event: BrokerEvent) throws {
    let before = heard
    try #require(broker).send(event)
    try wait { $0.heard > before }
  }

  /// Turns the loop once and takes what the broker was told.
  func turn() throws {
    try host.loop.turn(waiting: 20_000_000)
    while case .message(let envelope, let files)? = try broker?.receive() {
      for file in files { close(file) }
      if case .networkSettings(var wanted) = envelope.message {
        sequences.append(wanted.sequence)
        wanted.sequence = 0
        settings.append(wanted)
      }
    }
  }

  /// Turns the loop until something is so.
  func wait(_ condition: (NetworkWorld) throws -> Bool) throws {
    for _ in 0..<500 {
      if try condition(self) { return }
      try turn()
    }
    throw Failure("rig", "wait: it did not become so")
  }

  /// The supervisor is killed: nobody tidies up.
  func die() throws {
    endBroker()
    try outlet.interface?.tap.close()
  }
}
