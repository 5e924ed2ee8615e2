import DriverKit
import Glibc
import Platform
import Virtqueue

/// What is on the other side of a network driver: its outlet and its broker, on the test's thread. The outlet accepts
/// descriptors in the arena and nowhere else, as vhost-net does with a memory table of the arena alone.
public final class NetworkOutlet {
  /// A frame that the driver had for the outlet.
  public struct Frame: Equatable {
    /// virtio 1.2 section 5.1.6.
    public var header: [UInt8]
    public var bytes: [UInt8]

    public init(header: [UInt8], bytes: [UInt8]) {
      self.header = header
      self.bytes = bytes
    }
  }

  public let arena: FakeMemory
  public let device: Device
  private let rings: FakeMemory
  private let broker: ControlChannel<BrokerMessage, DriverMessage>
  private var outbound: VirtqueueDevice
  private var inbound: VirtqueueDevice
  private let files: [Int32]

  /// - Parameters:
  ///   - driver: its conversation with the broker goes as far as the grant: then it may talk of its link.
  ///   - bars: by number.
  ///   - interrupts: eventfds, one for each vector; they stay the caller's.
  public init<Driver: NetworkDriver>(
    driver: Driver.Type, grant: DeviceGrant, arena: FakeMemory, bars: [Bar?], interrupts: [Int32]
  ) throws {
    let layout = SlottedQueueLayout(queueSize: Int(grant.queueSize), slots: 0, slotSize: 0)
    rings = FakeMemory(address: 0xC000_0000, length: 2 * layout.stride)
    self.arena = arena
    let (near, far) = try PacketSocket.pair()
    let events = try (0..<4).map { _ in try EventDescriptor.make().release() }
    files = [near, far] + events
    broker = ControlChannel(socket: far)
    device = Device(
      grant: grant, control: ControlPort(socket: near), bars: bars, arena: arena.dma, rings: rings.pointer,
      interrupts: interrupts, kicks: Array(events[..<2]), calls: Array(events[2...]))
    outbound = VirtqueueDevice(memory: rings.pointer, layout: layout.queue)
    inbound = VirtqueueDevice(memory: rings.pointer + layout.stride, layout: layout.queue)
    try device.control.send(.hello(name: Driver.name, version: Driver.version))
    try broker.send(.grant(grant), generation: 1)
    _ = try device.control.receive()
  }

  deinit { files.forEach(Descriptor.close) }

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

  /// The next frame that the driver has for the outlet; its buffers go back.
  public func next() throws -> Frame? {
    guard let head = try inbound.nextAvailable() else { return nil }
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
    inbound.complete(head: head, length: 0)
    _ = inbound.publish()
    return Frame(header: Array(bytes[..<12]), bytes: Array(bytes[12...]))
  }

  /// What the driver has said to the broker.
  public func heard() throws -> [DriverMessage] {
    var messages: [DriverMessage] = []
    while case .message(let envelope, _) = try broker.receive() { messages.append(envelope.message) }
    return messages
  }
}
