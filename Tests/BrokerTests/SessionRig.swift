import Glibc
import Jail
import Platform
import Protocol
import Testing
import VFIO
import Virtqueue

@testable import Broker

/// A proxy that only remembers.
final class RecordingProxy: Proxy {
  let queueLayout = SlottedQueueLayout(queueSize: 16, slots: 4, slotSize: 64)
  var calls: [String] = []
  var refusal: ProxyRefusal?
  weak var host: (any ProxyHost)?
  /// What ``driverGone()`` could see of the device.
  var onGone: () -> Void = {}

  func attach(to host: any ProxyHost) { self.host = host }
  func driverAttached() { calls.append("attached") }
  let rules: [SeccompRule] = []
  func driverSays(_ message: DriverMessage) throws(ProxyRefusal) {
    if let refusal { throw refusal }
    guard case .blockUnit(let unit) = message else {
      throw ProxyRefusal(.illegalTransition, "\(message.kind) from a driver of the block class")
    }
    calls.append("unit \(unit.index)")
  }
  func driverReady() throws(ProxyRefusal) { calls.append("complete") }
  /// What the outlet says instead of serving a driver.
  var failure: Failure?
  func driverServes(_ queues: DriverQueues) throws(Failure) {
    if let failure { throw failure }
    calls.append("serves \(queues.count)")
  }
  func driverStopping() { calls.append("stopping") }
  func driverGone() {
    calls.append("gone")
    onGone()
  }
  func shutdown() { calls.append("shutdown") }
  func addCounters(to counters: inout BrokerCounters) { counters.reads = 17 }
  var latencies: [LatencyHistogram] = []
  func poll() -> Bool { false }
  func tick() { calls.append("tick") }
}

/// A broker's session with the supervisor and the driver played by the test.
final class SessionRig {
  typealias Supervisor = ControlChannel<BrokerCommand, BrokerEvent>
  typealias Driver = ControlChannel<DriverMessage, BrokerMessage>

  let loop = EventLoop()
  let backing: FakeBacking
  let proxy = RecordingProxy()
  let session: BrokerSession
  let supervisor: Supervisor
  private var driverSockets: [Int32] = []
  /// The present driver's end.
  private(set) var driver: Driver!
  private(set) var grant: LaunchGrant?
  private(set) var grantedFiles: [Int32] = []
  var generation: UInt32 = 0

  /// - Parameter other: a backing to be used in place of the fake one.
  init(
    backing: FakeBacking = FakeBacking(), other: (EventLoop) throws -> (any DeviceBacking)? = { _ in nil },
    heartbeatInterval: UInt32 = 60_000, heartbeatTimeout: UInt32 = 60_000,
    startTimeout: UInt32 = 60_000, bars: UInt8 = 1, interrupts: (any InterruptCounts)? = nil, interruptLimit: UInt32 = 0
  ) throws {
    self.backing = backing
    let ends = try PacketSocket.pair()
    supervisor = Supervisor(socket: ends.0)
    let configuration = BrokerConfiguration(
      address: "0000:01:00.0", group: 1, deviceClass: .block, uid: 1000, bars: bars, interrupts: 2, queues: 2,
      queueSize: 16, arenaSize: 65536, payloadSize: 1 << 20, mapsPayload: false, readOnly: false, unitLimit: 1,
      kernelConnections: 0, heartbeatInterval: heartbeatInterval, heartbeatTimeout: heartbeatTimeout,
      startTimeout: startTimeout, spinMicroseconds: 0, interruptLimit: interruptLimit)
    session = try BrokerSession(
      configuration, backing: other(loop) ?? backing, payloadFile: nil, proxy: proxy,
      link: SupervisorLink(socket: ends.1, loop: loop), loop: loop, interrupts: interrupts)
    session.start()
    driverSockets = [ends.0, ends.1]
  }

  deinit {
    grantedFiles.forEach(Descriptor.close)
    driverSockets.forEach(Descriptor.close)
  }

  /// Lets the session do what there is to do.
  func turn(_ times: Int = 8) throws {
    for _ in 0..<times { try loop.turn(waiting: 0) }
  }

  /// Lets it work until something is true that takes time.
  func wait(until condition: () throws -> Bool) throws {
    let deadline = monotonicNow() + 20_000_000_000
    while try !condition() {
      try #require(monotonicNow() < deadline, "never happened")
      try loop.turn(waiting: 1_000_000)
    }
  }

  func command(_ command: BrokerCommand, files: [Int32] = []) throws {
    try supervisor.send(command, generation: generation, files: files)
    try turn()
  }

  /// All events since the last call.
  func events() throws -> [BrokerEvent] {
    var events: [BrokerEvent] = []
    while case .message(let envelope, let files) = try supervisor.receive() {
      files.forEach(Descriptor.close)
      events.append(envelope.message)
    }
    return events
  }

  /// The next driver comes, up to what its jail gets.
  func attach() throws {
    generation += 1
    let ends = try PacketSocket.pair()
    try command(.attachDriver, files: [ends.1])
    Descriptor.close(ends.1)
    driverSockets.append(ends.0)
    driver = Driver(socket: ends.0)
    let jail = ControlChannel<DriverMessage, JailMessage>(socket: ends.0)
    guard case .message(let envelope, let files) = try jail.receive() else { return }
    guard case .launch(let grant) = envelope.message else { return }
    self.grant = grant
    grantedFiles.forEach(Descriptor.close)
    grantedFiles = files
  }

  func say(_ message: DriverMessage) throws {
    try driver.send(message, generation: generation)
    try turn()
  }

  func hear() throws -> BrokerMessage? {
    guard case .message(let envelope, _) = try driver.receive() else { return nil }
    #expect(envelope.generation == generation)
    return envelope.message
  }

  static let unit = BlockUnit(
    index: 0, identifier: 1, blockSize: 512, blocks: 1000, maximumTransfer: 65536, atomicWrite: 512, features: [],
    model: "m", serial: "s", worldWideName: "")

  /// A driver that has come to serve.
  func serve() throws {
    try attach()
    try say(.hello(name: "test", version: "1"))
    _ = try hear()
    try say(.blockUnit(Self.unit))
    try say(.ready)
    try #require(try hear() == .start)
    _ = try events()
    backing.forgetOperations()
    proxy.calls = []
  }

  func hangUp() throws {
    // The file stays open for deinit; both directions end.
    shutdown(driver.socket, Int32(SHUT_RDWR))
    try turn()
  }
}
