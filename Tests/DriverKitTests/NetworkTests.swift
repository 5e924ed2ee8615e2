import Glibc
import Testing
import Virtqueue

@testable import DriverKit

/// A network driver that does nothing but note what it was told.
final class TestNIC: NetworkDriver {
  static let name = "nic"
  static let version = "0.1"
  static let port = NetworkPort(
    address: HardwareAddress(2, 0, 0, 0, 0, 1), maximumMTU: 1500, offloads: [], queuePairs: 1, model: "m", firmware: "")

  let device: Device
  let options: Options
  var log: [String] = []
  var whenCounted: () -> Void = {}

  init(device: Device, options: Options) throws(DriverFailure) {
    self.device = device
    self.options = options
  }

  func start() throws(DriverFailure) -> NetworkPort {
    var port = Self.port
    if options["pairs"] != nil { port.queuePairs = 2 }
    return port
  }
  func link() throws(DriverFailure) -> NetworkLink { .down }
  func apply(_ settings: NetworkSettings) throws(DriverFailure) -> Int32 { settings.mtu > 1500 ? EINVAL : 0 }
  func statistics() throws(DriverFailure) -> NetworkStatistics {
    var statistics = NetworkStatistics()
    statistics[.resets] = 5
    whenCounted()
    return statistics
  }
  func poll() throws(DriverFailure) -> Bool { false }
  func queueReady(_ queue: NetworkQueue) throws(DriverFailure) -> Bool { false }
  func interrupt(_ vector: Int) throws(DriverFailure) {
    log.append("interrupt \(vector)")
    try device.reportLink(NetworkLink(isUp: true, speed: 100, isFullDuplex: true))
  }
}

/// The broker's end of a network driver's world.
final class NetworkWorld {
  let grant: DeviceGrant
  let layout = SlottedQueueLayout(queueSize: 16, slots: 0, slotSize: 0)
  let rings: UnsafeMutableRawPointer
  let broker: ControlChannel<BrokerMessage, DriverMessage>
  let port: ControlPort
  let events: [Int32]
  var outlet: VirtqueueDevice
  private let arena: UnsafeMutableRawPointer
  /// Queues are handles: somebody has to keep what is behind them.
  private var device: Device?

  init() throws {
    let (near, far) = try PacketSocket.pair()
    port = ControlPort(socket: near)
    broker = ControlChannel(socket: far)
    events = try (0..<6).map { _ in try EventDescriptor.make().release() }
    rings = .allocate(byteCount: 2 * layout.stride, alignment: 4096)
    rings.initializeMemory(as: UInt8.self, repeating: 0, count: 2 * layout.stride)
    arena = .allocate(byteCount: 1 << 16, alignment: 4096)
    outlet = VirtqueueDevice(memory: rings, layout: layout.queue)
    grant = DeviceGrant(
      deviceClass: .network, vendor: 1, device: 2, subsystemVendor: 3, subsystem: 4, revision: 5, interrupts: 2,
      queues: 2, queueSize: 16, arenaSize: 1 << 16, payloadSize: 4096, payloadMapped: false, spinMicroseconds: 0,
      bars: [])
  }

  deinit {
    for file in [port.socket, broker.socket] + events { close(file) }
    rings.deallocate()
    arena.deallocate()
  }

  func makeDevice(_ grant: DeviceGrant, _ control: ControlPort) -> Device {
    let device = Device(
      grant: grant, control: control, bars: [nil],
      arena: DMAMemory(pointer: arena, address: AddressMap.arena, length: 1 << 16), rings: rings,
      interrupts: Array(events[0..<2]), kicks: Array(events[2..<4]), calls: Array(events[4..<6]))
    self.device = device
    return device
  }

  func run(_ messages: [BrokerMessage], _ options: [String] = []) throws -> (status: Int32, heard: [DriverMessage]) {
    for message in messages { try broker.send(message, generation: 7) }
    let status = NetworkConversationRunner<TestNIC>(control: port, options: Options(arguments: options))
      .run(makeDevice: { grant, port throws(DriverFailure) in makeDevice(grant, port) })
    var heard: [DriverMessage] = []
    while case .message(let envelope, _) = try broker.receive() { heard.append(envelope.message) }
    return (status, heard)
  }
}

@Suite struct NetworkTests {
  private func settings(_ sequence: UInt32, mtu: UInt16 = 1500) -> BrokerMessage {
    .networkSettings(
      NetworkSettings(sequence: sequence, isEnabled: true, address: TestNIC.port.address, mtu: mtu))
  }

  @Test func fromHelloToStopped() throws {
    let world = try NetworkWorld()
    let (status, heard) = try world.run([.grant(world.grant), .start, .ping(sequence: 1), .stop])
    #expect(status == 0)
    #expect(
      heard == [
        .hello(name: "nic", version: "0.1"), .networkPort(TestNIC.port), .networkLink(.down), .ready,
        .pong(sequence: 1), .stopped,
      ])
  }

  @Test func answersSettingsAndCounts() throws {
    let world = try NetworkWorld()
    let device = world.makeDevice(world.grant, world.port)
    let driver = try TestNIC(device: device, options: Options(arguments: []))
    try world.port.send(.hello(name: "nic", version: "1"))
    try world.broker.send(.grant(world.grant), generation: 7)
    _ = try world.port.receive()
    try world.port.send(.networkPort(TestNIC.port))
    try world.port.send(.ready)
    let loop = NetworkServiceLoop(device: device, driver: driver)
    // Before the start: settings are answered in turn.
    try world.broker.send(settings(1, mtu: 9000), generation: 7)
    try world.broker.send(settings(2), generation: 7)
    try world.broker.send(.start, generation: 7)
    try loop.awaitStart()
    // While it serves; the interrupt is for the driver, once.
    EventDescriptor.signal(world.events[1])
    try world.broker.send(.networkCount, generation: 7)
    try world.broker.send(settings(3, mtu: 9000), generation: 7)
    driver.whenCounted = { _ = try? world.broker.send(.stop, generation: 7) }
    try loop.run()
    var heard: [DriverMessage] = []
    while case .message(let envelope, _) = try world.broker.receive() { heard.append(envelope.message) }
    let answers = heard.filter { if case .networkApplied = $0 { true } else { false } }
    #expect(answers == [.networkApplied(sequence: 2, errno: 0), .networkApplied(sequence: 3, errno: 22)])
    let counts = heard.compactMap { if case .networkStatistics(let counts) = $0 { counts[.resets] } else { nil } }
    #expect(counts == [5])
    #expect(driver.log == ["interrupt 1"])
    #expect(heard.contains(.networkLink(NetworkLink(isUp: true, speed: 100, isFullDuplex: true))))
  }

  @Test func refusesAnotherClassAndTooManyQueues() throws {
    let world = try NetworkWorld()
    var grant = world.grant
    grant.deviceClass = .block
    guard case .failed(.protocolError, _, _, _)? = try world.run([.grant(grant)]).heard.last else {
      Issue.record("a block device was taken")
      return
    }
    let other = try NetworkWorld()
    guard case .failed(.unsupported, _, _, _)? = try other.run([.grant(other.grant)], ["pairs=2"]).heard.last else {
      Issue.record("four queues were taken for two")
      return
    }
  }

  // MARK: Queue

  private func code(_ body: () throws -> Void) -> FailureCode? {
    do { try body() } catch let failure as DriverFailure { return failure.code } catch {}
    return nil
  }

  @Test func movesBuffersAndFrames() throws {
    let world = try NetworkWorld()
    defer { withExtendedLifetime(world) {} }
    let device = world.makeDevice(world.grant, world.port)
    let queue = device.networkQueues[0]
    #expect(queue.direction == .outbound && device.networkQueues[1].direction == .inbound)
    queue.offerBuffer(3, address: AddressMap.arena + 100, length: 1000)
    #expect(try world.outlet.nextAvailable() == nil, "nothing is shown before the flush")
    queue.flush()
    let head = try #require(try world.outlet.nextAvailable())
    #expect(
      try world.outlet.descriptor(head)
        == VirtqueueDescriptor(address: AddressMap.arena + 100, length: 1000, flags: 2))
    world.outlet.complete(head: head, length: 77)
    _ = world.outlet.publish()
    #expect(try queue.next() == NetworkCompletion(head: 3, length: 77))
    #expect(try queue.next() == nil)
    #expect(queue.outstanding == 0 && queue.counters.offered == 1 && queue.counters.completed == 1)
  }

  @Test func chainsFragments() throws {
    let world = try NetworkWorld()
    defer { withExtendedLifetime(world) {} }
    let device = world.makeDevice(world.grant, world.port)
    let queue = device.networkQueues[0]
    queue.setFragment(5, address: AddressMap.arena, length: 2060, next: 9)
    queue.setFragment(9, address: AddressMap.arena + 4096, length: 10, next: nil)
    queue.offer(5)
    queue.flush()
    let chain = UnsafeMutableBufferPointer<VirtqueueDescriptor>.allocate(capacity: 4)
    defer { chain.deallocate() }
    let head = try #require(try world.outlet.nextAvailable())
    #expect(try world.outlet.copyChain(from: head, into: chain) == 2)
    #expect(chain[0] == VirtqueueDescriptor(address: AddressMap.arena, length: 2060, flags: 1, next: 9))
    #expect(chain[1] == VirtqueueDescriptor(address: AddressMap.arena + 4096, length: 10))
  }

  @Test func isWokenWhereItWantsToBe() throws {
    let world = try NetworkWorld()
    defer { withExtendedLifetime(world) {} }
    let queue = world.makeDevice(world.grant, world.port).networkQueues[0]
    queue.disarmWake()
    for buffer in 0..<3 { queue.offerBuffer(buffer, address: AddressMap.arena, length: 64) }
    queue.flush()
    func giveBack() throws -> Bool {
      let head = try #require(try world.outlet.nextAvailable())
      world.outlet.complete(head: head, length: 0)
      return world.outlet.publish()
    }
    #expect(try !giveBack(), "a driver that polls is not woken")
    _ = try queue.next()
    queue.wantsWake = false
    queue.armWake()
    #expect(try !giveBack())
    _ = try queue.next()
    queue.wantsWake = true
    queue.armWake()
    #expect(try giveBack())
  }

  @Test func refusesWhatWasNotOffered() throws {
    let world = try NetworkWorld()
    defer { withExtendedLifetime(world) {} }
    let queue = world.makeDevice(world.grant, world.port).networkQueues[0]
    queue.offerBuffer(1, address: AddressMap.arena, length: 64)
    queue.flush()
    _ = try world.outlet.nextAvailable()
    world.outlet.complete(head: 2, length: 0)
    _ = world.outlet.publish()
    #expect(code { _ = try queue.next() } == .protocolError)
  }

  @Test func refusesAnIndexThatRunsAhead() throws {
    let world = try NetworkWorld()
    defer { withExtendedLifetime(world) {} }
    let queue = world.makeDevice(world.grant, world.port).networkQueues[0]
    (world.rings + world.layout.queue.usedOffset + 2).storeBytes(of: 1, as: UInt16.self)
    #expect(code { _ = try queue.next() } == .protocolError)
  }
}
