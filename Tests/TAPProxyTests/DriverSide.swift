import Broker
import CBulkhead
import Platform
import Protocol
import Virtqueue

/// The memory and the rings of a driver, as its broker made them, and the driver in the same process.
final class DriverSide {
  static let arenaSize = 1 << 20
  let layout: SlottedQueueLayout
  let rings: SharedMemory
  let arena: SharedMemory
  private let events: [Int32]
  let queues: DriverQueues
  /// The guest's side of queue 0 (outbound) and 1 (inbound).
  private let guests: UnsafeMutablePointer<VirtqueueGuest>

  init(layout: SlottedQueueLayout) throws {
    self.layout = layout
    rings = try SharedMemory(name: "rings", size: 2 * layout.stride)
    arena = try SharedMemory(name: "arena", size: Self.arenaSize)
    var numbers: [Int32] = []
    for _ in 0..<4 { numbers.append(try EventDescriptor.make().release()) }
    events = numbers
    queues = DriverQueues(
      base: rings.mapping.base, layout: layout, count: 2, kicks: Array(numbers[..<2]), calls: Array(numbers[2...]),
      arena: UnsafeMutableRawBufferPointer(start: arena.mapping.base, count: arena.mapping.length))
    guests = .allocate(capacity: 2)
    for queue in 0..<2 {
      (guests + queue).initialize(
        to: VirtqueueGuest(memory: rings.mapping.base + queue * layout.stride, layout: layout.queue))
    }
  }

  deinit {
    events.forEach(Descriptor.close)
    guests.deinitialize(count: 2)
    guests.deallocate()
  }

  subscript(offset: Int, count: Int) -> [UInt8] {
    get { Array(UnsafeRawBufferPointer(start: arena.mapping.base + offset, count: count)) }
    set {
      newValue.withUnsafeBytes { (arena.mapping.base + offset).copyMemory(from: $0.baseAddress!, byteCount: count) }
    }
  }

  static func address(_ offset: Int) -> UInt64 { AddressMap.arena + UInt64(offset) }

  /// Offers a chain as it is, and wakes the other side if it asked for that.
  func offer(_ queue: NetworkClass.Direction, _ chain: [VirtqueueDescriptor], at first: Int = 0) {
    for (index, descriptor) in chain.enumerated() {
      guests[queue.rawValue].setDescriptor(first + index, descriptor)
    }
    guests[queue.rawValue].submit(head: first)
    publish(queue)
  }

  func publish(_ queue: NetworkClass.Direction) {
    if guests[queue.rawValue].publish() { EventDescriptor.signal(queues.calls[queue.rawValue]) }
  }

  /// An empty buffer for a frame of the machine.
  func offerBuffer(_ descriptor: Int, offset: Int, length: Int = 4096) {
    offer(
      .outbound,
      [
        VirtqueueDescriptor(
          address: Self.address(offset), length: UInt32(length), flags: VirtqueueDescriptor.flagWrite)
      ], at: descriptor)
  }

  /// A frame from the wire, with this header, in so many descriptors.
  func send(
    _ frame: [UInt8], header: [UInt8] = [UInt8](repeating: 0, count: NetworkClass.headerSize), at offset: Int = 0,
    pieces: Int = 1, first: Int = 0
  ) {
    let bytes = header + frame
    self[offset, bytes.count] = bytes
    let piece = max(1, (bytes.count + pieces - 1) / pieces)
    var chain: [VirtqueueDescriptor] = []
    var at = 0
    while at < bytes.count {
      let length = min(piece, bytes.count - at)
      let isLast = at + length == bytes.count
      chain.append(
        VirtqueueDescriptor(
          address: Self.address(offset + at), length: UInt32(length),
          flags: isLast ? 0 : VirtqueueDescriptor.flagNext, next: UInt16(first + chain.count + 1)))
      at += length
    }
    offer(.inbound, chain, at: first)
  }

  func next(_ queue: NetworkClass.Direction) throws -> UsedElement? { try guests[queue.rawValue].nextUsed() }

  /// Asks to be woken. Returns whether something is there already.
  func arm(_ queue: NetworkClass.Direction) -> Bool { guests[queue.rawValue].enableCalls() }

  /// How often it was woken.
  func wakes(_ queue: NetworkClass.Direction) -> UInt64 { EventDescriptor.drain(queues.kicks[queue.rawValue]) }

  /// Writes the available index past what was offered.
  func runAhead(_ queue: NetworkClass.Direction, by distance: UInt16) {
    let index = rings.mapping.base + queue.rawValue * layout.stride + layout.queue.availOffset + 2
    bh_store16_release(index, bh_load16(index) &+ distance)
  }

  /// As if the other side had used so many chains, the first of them descriptor 0.
  func use(_ queue: NetworkClass.Direction, _ count: UInt16) {
    let index = rings.mapping.base + queue.rawValue * layout.stride + layout.queue.usedOffset + 2
    bh_store16_release(index, bh_load16(index) &+ count)
    while let used = try? next(queue) { _ = used }
  }

  /// Writes a head into the next place of the available ring and shows it.
  func offerHead(_ queue: NetworkClass.Direction, _ head: UInt16) {
    let avail = rings.mapping.base + queue.rawValue * layout.stride + layout.queue.availOffset
    let index = bh_load16(avail + 2)
    bh_store16(avail + 4 + Int(index) % layout.queue.size * 2, head)
    bh_store16_release(avail + 2, index &+ 1)
  }
}
