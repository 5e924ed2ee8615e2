import CCounting
import DriverRig
import Glibc
import Virtqueue

@testable import DriverKit
@testable import E1000E

/// The driver between a fake NIC and an outlet, all on the test's thread. The outlet accepts descriptors in the arena and
/// nowhere else, as vhost-net does with a memory table of the arena alone.
final class Bench {
  struct Frame: Equatable {
    var header: [UInt8]
    var bytes: [UInt8]
  }

  /// As much as the manifest asks for.
  let arena = FakeMemory(address: 0x1000_0000, length: 20 << 20)
  let rings: FakeMemory
  let fake: FakeAdapter
  let device: Device
  let driver: E1000EDriver
  let broker: ControlChannel<BrokerMessage, DriverMessage>
  let interrupts: [Int32]
  private(set) var port: NetworkPort?
  private var outbound: VirtqueueDevice
  private var inbound: VirtqueueDevice
  private let files: [Int32]
  private var sequence: UInt32 = 0

  static let address = HardwareAddress(0x52, 0x54, 0x00, 0x12, 0x34, 0x56)

  init(
    queueSize: Int = 256, options: [String] = [], interrupts count: UInt8 = 3, deviceID: UInt16 = 0x10D3,
    prepare: (FakeAdapter) -> Void = { _ in }
  ) throws {
    let layout = SlottedQueueLayout(queueSize: queueSize, slots: 0, slotSize: 0)
    rings = FakeMemory(address: 0xC000_0000, length: 2 * layout.stride)
    fake = FakeAdapter(memories: [arena])
    let (near, far) = try PacketSocket.pair()
    let events = try (0..<(4 + Int(count))).map { _ in try EventDescriptor.make().release() }
    files = [near, far] + events
    interrupts = Array(events[4...])
    fake.vectors = interrupts
    prepare(fake)
    broker = ControlChannel(socket: far)
    let grant = DeviceGrant(
      deviceClass: .network, vendor: 0x8086, device: deviceID, subsystemVendor: 0, subsystem: 0, revision: 0,
      interrupts: count, queues: 2, queueSize: UInt16(queueSize), arenaSize: UInt32(arena.length), payloadSize: 4096,
      payloadMapped: false, spinMicroseconds: 0, bars: [])
    device = Device(
      grant: grant, control: ControlPort(socket: near), bars: [fake.bar()], arena: arena.dma, rings: rings.pointer,
      interrupts: interrupts, kicks: Array(events[..<2]), calls: Array(events[2..<4]))
    // To where a driver may talk of its link.
    try device.control.send(.hello(name: E1000EDriver.name, version: E1000EDriver.version))
    try broker.send(.grant(grant), generation: 1)
    _ = try device.control.receive()
    outbound = VirtqueueDevice(memory: rings.pointer, layout: layout.queue)
    inbound = VirtqueueDevice(memory: rings.pointer + layout.stride, layout: layout.queue)
    driver = try E1000EDriver(device: device, options: Options(arguments: options))
  }

  deinit { files.forEach(Descriptor.close) }

  /// Starts the driver and gives it settings.
  @discardableResult
  func start(mtu: UInt16 = 1500) throws -> Bench {
    port = try driver.start()
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
  func taken() throws -> [Frame] {
    var frames: [Frame] = []
    while let head = try inbound.nextAvailable() {
      frames.append(try readChain(head))
      inbound.complete(head: head, length: 0)
    }
    _ = inbound.publish()
    return frames
  }

  /// Frames that the driver offers and the outlet does not take.
  var untaken: Int { driver.inbound.outstanding }

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
  func heard() throws -> [DriverMessage] {
    var messages: [DriverMessage] = []
    while case .message(let envelope, _) = try broker.receive() { messages.append(envelope.message) }
    return messages
  }
}

/// Frames as tests need them.
enum Sample {
  /// Destination, source, EtherType, then bytes that depend on `seed`.
  static func frame(
    _ length: Int, to destination: HardwareAddress = Bench.address, seed: Int = 0, type: UInt16 = 0x88B5
  ) -> [UInt8] {
    var frame = (0..<6).map { destination[$0] } + [2, 0, 0, 0, 0, 1, UInt8(type >> 8), UInt8(type & 0xFF)]
    frame += (14..<max(14, length)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ seed &* 13) }
    return frame
  }

  /// virtio header that asks for a checksum, and for segments of `size` bytes if that is not 0.
  static func header(start: Int, offset: Int, kind: UInt8 = 0, size: Int = 0, flags: UInt8 = 1) -> [UInt8] {
    func little(_ value: Int) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8 & 0xFF)] }
    return [flags, kind] + little(start + 20) + little(size) + little(start) + little(offset) + [1, 0]
  }

  /// A TCP segment over IPv4 or IPv6, behind `tags` VLAN tags, with the pseudo header's sum where the checksum belongs.
  static func tcp(version: Int, payload: Int, tags: Int = 0) -> (frame: [UInt8], network: Int, transport: Int) {
    var frame = Array(Sample.frame(14)[..<12])
    for tag in 0..<tags { frame += [0x81, 0x00, 0x00, UInt8(5 + tag)] }
    frame += version == 4 ? [0x08, 0x00] : [0x86, 0xDD]
    let network = frame.count
    let addresses: [UInt8]
    let length = 20 + payload
    if version == 4 {
      addresses = [192, 168, 1, 2, 192, 168, 1, 3]
      frame += [0x45, 0] + [UInt8((length + 20) >> 8), UInt8((length + 20) & 0xFF)] + [0x12, 0x34, 0x40, 0, 64, 6]
      frame += [0, 0] + addresses
      frame.put16(network + 10, ~internetSum(frame[network..<network + 20]))
    } else {
      addresses = (0..<32).map { UInt8($0 * 5 + 1) }
      frame += [0x60, 0, 0, 0, UInt8(length >> 8), UInt8(length & 0xFF), 6, 64] + addresses
    }
    let transport = frame.count
    frame += [0x1F, 0x90, 0x9C, 0x40, 0, 0, 0x10, 0, 0, 0, 0x20, 0, 0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]
    frame += (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ $0 >> 8) }
    frame.put16(transport + 16, internetSum(addresses + [0, 6, UInt8(length >> 8), UInt8(length & 0xFF)]))
    return (frame, network, transport)
  }

  /// Whether the TCP checksum of a whole segment is right.
  static func hasGoodChecksum(_ frame: [UInt8], version: Int, network: Int, transport: Int) -> Bool {
    let addresses = version == 4 ? frame[network + 12..<network + 20] : frame[network + 8..<network + 40]
    let length = frame.count - transport
    let pseudo = Array(addresses) + [0, 6, UInt8(length >> 8), UInt8(length & 0xFF)]
    return internetSum(pseudo + frame[transport...]) == 0xFFFF
  }
}
