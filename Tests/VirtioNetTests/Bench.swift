import CCounting
import DriverRig
import Glibc
import Virtqueue

@testable import DriverKit
@testable import VirtioNet

/// The driver between a fake device and an outlet, all on the test's thread. The outlet accepts descriptors in the arena
/// and nowhere else, as vhost-net does with a memory table of the arena alone.
final class Bench {
  struct Frame: Equatable {
    var header: [UInt8]
    var bytes: [UInt8]
  }

  /// As much as the manifest asks for.
  let arena = FakeMemory(address: 0x1000_0000, length: 24 << 20)
  let rings: FakeMemory
  let fake: FakeDevice
  let device: Device
  let driver: VirtioNetDriver
  let broker: ControlChannel<BrokerMessage, DriverMessage>
  let interrupts: [Int32]
  private(set) var port: NetworkPort?
  private var outbound: VirtqueueDevice
  private var inbound: VirtqueueDevice
  private let files: [Int32]
  private var sequence: UInt32 = 0

  static let address = HardwareAddress(0x52, 0x54, 0, 0, 0, 9)

  init(
    queueSize: Int = 256, options: [String] = [], interrupts count: UInt8 = 3, granted: Int = 4,
    prepare: (FakeDevice) -> Void = { _ in }
  ) throws {
    let layout = SlottedQueueLayout(queueSize: queueSize, slots: 0, slotSize: 0)
    rings = FakeMemory(address: 0xC000_0000, length: 2 * layout.stride)
    let fake = FakeDevice(memory: arena)
    self.fake = fake
    let (near, far) = try PacketSocket.pair()
    let events = try (0..<(4 + Int(count))).map { _ in try EventDescriptor.make().release() }
    files = [near, far] + events
    interrupts = Array(events[4...])
    fake.vectors = interrupts
    prepare(fake)
    broker = ControlChannel(socket: far)
    let grant = DeviceGrant(
      deviceClass: .network, vendor: 0x1AF4, device: 0x1041, subsystemVendor: 0, subsystem: 0, revision: 1,
      interrupts: count, queues: 2, queueSize: UInt16(queueSize), arenaSize: UInt32(arena.length), payloadSize: 0,
      payloadMapped: false, spinMicroseconds: 0, bars: [])
    var bars = [Bar?](repeating: nil, count: 6)
    bars[granted] = fake.bar()
    device = Device(
      grant: grant, control: ControlPort(socket: near), bars: bars, arena: arena.dma, rings: rings.pointer,
      interrupts: interrupts, kicks: Array(events[..<2]), calls: Array(events[2..<4]))
    // To where a driver may talk of its link.
    try device.control.send(.hello(name: VirtioNetDriver.name, version: VirtioNetDriver.version))
    try broker.send(.grant(grant), generation: 1)
    _ = try device.control.receive()
    outbound = VirtqueueDevice(memory: rings.pointer, layout: layout.queue)
    inbound = VirtqueueDevice(memory: rings.pointer + layout.stride, layout: layout.queue)
    driver = try VirtioNetDriver(device: device, options: Options(arguments: options)) { fake.readConfig($0, $1) }
  }

  deinit { files.forEach(Descriptor.close) }

  /// Starts the driver and gives it settings.
  @discardableResult
  func start(mtu: UInt16 = 1500) throws -> Bench {
    port = try driver.start()
    _ = try driver.link()
    try apply { $0.mtu = mtu }
    try run()
    return self
  }

  @discardableResult
  func apply(_ change: (inout NetworkSettings) -> Void = { _ in }) throws -> Int32 {
    sequence += 1
    var settings = NetworkSettings(sequence: sequence, isEnabled: true, address: Self.address, mtu: 1500)
    change(&settings)
    return try driver.apply(settings)
  }

  /// Rounds of the driver until it finds nothing.
  func run() throws {
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
  func give(_ bytes: [UInt8], header: [UInt8] = [UInt8](repeating: 0, count: 12), length: Int? = nil) throws -> Bool {
    guard let head = try outbound.nextAvailable() else { return false }
    let descriptor = try outbound.descriptor(head)
    guard descriptor.flags == 2, let place = arena.find(descriptor.address, Int(descriptor.length)),
      header.count + bytes.count <= descriptor.length
    else { throw DriverFailure(.protocolError, "an outbound buffer that vhost-net refuses") }
    (header + bytes).withUnsafeBytes { _ = memcpy(place, $0.baseAddress!, $0.count) }
    outbound.complete(head: head, length: UInt32(length ?? header.count + bytes.count))
    _ = outbound.publish()
    return true
  }

  /// Takes what the driver has for the outlet, and gives the buffers back.
  func taken() throws -> [Frame] {
    var frames: [Frame] = []
    while let head = try inbound.nextAvailable() {
      let descriptor = try inbound.descriptor(head)
      guard descriptor.flags == 0, let place = arena.find(descriptor.address, Int(descriptor.length)) else {
        throw DriverFailure(.protocolError, "an inbound frame that vhost-net refuses")
      }
      let bytes = Array(UnsafeRawBufferPointer(start: place, count: Int(descriptor.length)))
      frames.append(Frame(header: Array(bytes[..<12]), bytes: Array(bytes[12...])))
      inbound.complete(head: head, length: 0)
    }
    _ = inbound.publish()
    return frames
  }

  /// What the driver has said to the broker.
  func heard() throws -> [DriverMessage] {
    var messages: [DriverMessage] = []
    while case .message(let envelope, _) = try broker.receive() { messages.append(envelope.message) }
    return messages
  }

  /// The code of the failure that `body` ends in.
  static func code(_ body: () throws -> Void) -> FailureCode? {
    do { try body() } catch let failure as DriverFailure { return failure.code } catch {}
    return nil
  }
}

/// Frames as tests need them.
enum Sample {
  /// Destination, source, EtherType, then bytes that depend on `seed`.
  static func frame(_ length: Int, seed: Int = 0) -> [UInt8] {
    (0..<length).map { $0 < 6 ? Bench.address[$0] : UInt8(truncatingIfNeeded: $0 &* 7 &+ seed &* 13) }
  }

  /// An IPv4 TCP segment, as far as a device looks: the TCP header begins at 34 and has `words` words.
  static func segment(_ length: Int, words: UInt8 = 5) -> [UInt8] {
    var bytes = frame(length)
    bytes[34 + 12] = words << 4
    return bytes
  }

  static func header(
    flags: UInt8 = 1, kind: UInt8 = 0, headers: Int = 54, size: Int = 0, start: Int = 34, offset: Int = 16,
    buffers: Int = 0
  ) -> [UInt8] {
    [flags, kind] + [headers, size, start, offset, buffers].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8 & 0xFF)] }
  }
}

extension EventDescriptor {
  /// Signals since the last look.
  static func drained(_ file: Int32) -> UInt64 {
    var count: UInt64 = 0
    return read(file, &count, 8) == 8 ? count : 0
  }
}
