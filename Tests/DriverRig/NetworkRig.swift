import CCounting
import DriverKit
import Glibc
import Platform
import Virtqueue

/// What a rig needs of a fake NIC.
public protocol FakeNetworkDevice: AnyObject {
  /// Signals of the vectors.
  var vectors: [Int32] { get set }
  /// Whether a test counts allocations: the driver's count, the fake's do not.
  var isCounting: Bool { get }
}

/// A driver of the network class between a fake NIC and an outlet, all on the test's thread. The outlet accepts descriptors
/// in the arena and nowhere else, as vhost-net does with a memory table of the arena alone.
open class NetworkRig<Driver: NetworkDriver, Fake: FakeNetworkDevice> {
  public typealias Frame = NetworkRigFrame

  public let arena: FakeMemory
  public let fake: Fake
  public let device: Device
  public let driver: Driver
  public let interrupts: [Int32]
  public private(set) var port: NetworkPort?
  private let rings: FakeMemory
  private let broker: ControlChannel<BrokerMessage, DriverMessage>
  private let address: HardwareAddress
  private var outbound: VirtqueueDevice
  private var inbound: VirtqueueDevice
  private let files: [Int32]
  private var sequence: UInt32 = 0

  /// - Parameters:
  ///   - grant: what the broker grants; its count of interrupts and its arena's size are those of the rig.
  ///   - address: what settings give the port.
  ///   - bars: by number.
  ///   - prepare: of the fake, before the driver sees it.
  public init(
    grant: DeviceGrant, arena: FakeMemory, fake: Fake, address: HardwareAddress, bars: [Bar?],
    prepare: (Fake) -> Void, driver make: (Device) throws -> Driver
  ) throws {
    let layout = SlottedQueueLayout(queueSize: Int(grant.queueSize), slots: 0, slotSize: 0)
    rings = FakeMemory(address: 0xC000_0000, length: 2 * layout.stride)
    self.arena = arena
    self.fake = fake
    self.address = address
    let (near, far) = try PacketSocket.pair()
    let events = try (0..<(4 + Int(grant.interrupts))).map { _ in try EventDescriptor.make().release() }
    files = [near, far] + events
    interrupts = Array(events[4...])
    fake.vectors = interrupts
    prepare(fake)
    broker = ControlChannel(socket: far)
    device = Device(
      grant: grant, control: ControlPort(socket: near), bars: bars, arena: arena.dma, rings: rings.pointer,
      interrupts: interrupts, kicks: Array(events[..<2]), calls: Array(events[2..<4]))
    // To where a driver may talk of its link.
    try device.control.send(.hello(name: Driver.name, version: Driver.version))
    try broker.send(.grant(grant), generation: 1)
    _ = try device.control.receive()
    outbound = VirtqueueDevice(memory: rings.pointer, layout: layout.queue)
    inbound = VirtqueueDevice(memory: rings.pointer + layout.stride, layout: layout.queue)
    driver = try make(device)
  }

  deinit { files.forEach(Descriptor.close) }

  /// Starts the driver and gives it settings.
  @discardableResult
  public func start(mtu: UInt16 = 1500) throws -> Self {
    port = try driver.start()
    _ = try driver.link()
    try apply { $0.mtu = mtu }
    try run()
    return self
  }

  @discardableResult
  public func apply(_ change: (inout NetworkSettings) -> Void = { _ in }) throws -> Int32 {
    sequence += 1
    var settings = NetworkSettings(sequence: sequence, isEnabled: true, address: address, mtu: 1500)
    change(&settings)
    return try driver.apply(settings)
  }

  /// Rounds of the driver until it finds nothing.
  public func run() throws {
    for _ in 0..<10_000 {
      if fake.isCounting { counting_resume() }
      var worked = try driver.poll()
      for queue in device.networkQueues where try driver.queueReady(queue) { worked = true }
      for queue in device.networkQueues { queue.flush() }
      if fake.isCounting { counting_pause() }
      if !worked { return }
    }
    throw DriverFailure(.timeout, "the driver finds work without end")
  }

  /// Gives the driver a frame for the wire. `length` is what the outlet says that it wrote, if that is not the truth.
  /// - Returns: false where there is no buffer.
  @discardableResult
  public func give(
    _ bytes: [UInt8], header: [UInt8] = [UInt8](repeating: 0, count: 12), length: Int? = nil
  ) throws -> Bool {
    guard let head = try outbound.nextAvailable() else { return false }
    let descriptor = try outbound.descriptor(head)
    guard descriptor.flags == 2, let place = arena.find(descriptor.address, Int(descriptor.length)) else {
      throw DriverFailure(.protocolError, "an outbound buffer that vhost-net refuses")
    }
    guard header.count + bytes.count <= descriptor.length else {
      throw DriverFailure(.protocolError, "an outbound buffer of only \(descriptor.length) bytes")
    }
    (header + bytes).withUnsafeBytes { _ = memcpy(place, $0.baseAddress!, $0.count) }
    outbound.complete(head: head, length: UInt32(length ?? header.count + bytes.count))
    _ = outbound.publish()
    return true
  }

  /// Takes what the driver has for the outlet, and gives the buffers back.
  public func taken() throws -> [Frame] {
    var frames: [Frame] = []
    while let head = try inbound.nextAvailable() {
      frames.append(try readChain(head))
      inbound.complete(head: head, length: 0)
    }
    _ = inbound.publish()
    return frames
  }

  private func readChain(_ head: UInt16) throws -> Frame {
    let chain = UnsafeMutableBufferPointer<VirtqueueDescriptor>.allocate(capacity: NetworkClass.maximumChain)
    defer { chain.deallocate() }
    let count = try inbound.copyChain(from: head, into: chain)
    var bytes: [UInt8] = []
    for descriptor in chain[..<count] {
      guard descriptor.flags & 2 == 0, let place = arena.find(descriptor.address, Int(descriptor.length)) else {
        throw DriverFailure(.protocolError, "an inbound frame that vhost-net refuses")
      }
      bytes += UnsafeRawBufferPointer(start: place, count: Int(descriptor.length))
    }
    return Frame(header: Array(bytes[..<12]), bytes: Array(bytes[12...]))
  }

  /// What the driver has said to the broker.
  public func heard() throws -> [DriverMessage] {
    var messages: [DriverMessage] = []
    while case .message(let envelope, _) = try broker.receive() { messages.append(envelope.message) }
    return messages
  }

  /// The code of the failure that `body` ends in.
  public static func code(_ body: () throws -> Void) -> FailureCode? {
    do { try body() } catch let failure as DriverFailure { return failure.code } catch {}
    return nil
  }
}

/// A frame that a driver had for the outlet.
public struct NetworkRigFrame: Equatable {
  /// virtio 1.2 section 5.1.6.
  public var header: [UInt8]
  public var bytes: [UInt8]

  public init(header: [UInt8], bytes: [UInt8]) {
    self.header = header
    self.bytes = bytes
  }
}

extension EventDescriptor {
  /// Signals since the last look.
  public static func drained(_ file: Int32) -> UInt64 {
    var count: UInt64 = 0
    return read(file, &count, 8) == 8 ? count : 0
  }
}
