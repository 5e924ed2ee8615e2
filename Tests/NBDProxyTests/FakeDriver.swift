import CBulkhead
import Platform
import Protocol
import Virtqueue

@testable import Broker
@testable import NBDProxy

/// Plain memory that keeps every block, and remembers what is durable.
final class MemoryDisk {
  var bytes: [UInt8]
  /// What would be left after a power failure.
  private(set) var durable: [UInt8]
  /// Operations in the order in which they reached the disk.
  private(set) var log: [BlockClass.RequestType] = []

  init(size: Int) {
    bytes = [UInt8](repeating: 0, count: size)
    durable = bytes
  }

  /// The volatile cache is lost.
  func losePower() { bytes = durable }

  func perform(_ request: DriverRequest, payload: UnsafeMutableRawBufferPointer) {
    log.append(request.type)
    let start = Int(request.sector) * BlockClass.sectorSize
    switch request.type {
    case .read: payload.copyBytes(from: bytes[start..<start + payload.count])
    case .write: bytes.replaceSubrange(start..<start + payload.count, with: payload)
    case .flush: durable = bytes
    case .writeZeroes, .discard:
      for index in 0..<Int(request.sectors) * BlockClass.sectorSize { bytes[start + index] = 0 }
    }
    if request.flags.contains(.forceUnitAccess) { durable = bytes }
  }
}

/// A request as the driver finds it in the memory of the rings.
struct DriverRequest {
  var queue: Int
  var head: UInt16
  var type: BlockClass.RequestType
  var unit: UInt16
  var flags: BlockClass.RequestFlags
  var sector: UInt64
  var sectors: UInt32
  var tag: UInt32
  var payloadAddress: UInt64
  var payloadLength: Int
  var statusAddress: UInt64
}

/// The other side of the virtqueues: a driver without a process, serving a disk without a device.
final class FakeDriver {
  let disk: MemoryDisk
  let layout: SlottedQueueLayout
  let rings: SharedMemory
  let kicks: EventDescriptors
  let calls: EventDescriptors
  private let payload: UnsafeMutableRawPointer
  private let devices: UnsafeMutablePointer<VirtqueueDevice>
  private let queueCount: Int
  /// Requests that were taken and not answered.
  private(set) var held: [DriverRequest] = []
  /// Every request that was taken, in order.
  private(set) var taken: [DriverRequest] = []
  /// Whether to answer what is taken.
  var holds = false
  /// What to answer instead of success.
  var answer: (DriverRequest) -> (status: UInt8, errno: UInt16) = { _ in (0, 0) }

  init(disk: MemoryDisk, layout: SlottedQueueLayout, queues: Int, payload: UnsafeMutableRawPointer) throws {
    self.disk = disk
    self.layout = layout
    self.payload = payload
    queueCount = queues
    rings = try SharedMemory(name: "test-rings", size: queues * layout.stride)
    kicks = try EventDescriptors(count: queues)
    calls = try EventDescriptors(count: queues)
    devices = .allocate(capacity: queues)
    for queue in 0..<queues {
      (devices + queue).initialize(
        to: VirtqueueDevice(memory: rings.mapping.base + queue * layout.stride, layout: layout.queue))
    }
  }

  deinit {
    devices.deinitialize(count: queueCount)
    devices.deallocate()
  }

  var queues: DriverQueues {
    DriverQueues(
      base: rings.mapping.base, layout: layout, count: queueCount, kicks: kicks.numbers, calls: calls.numbers,
      arena: UnsafeMutableRawBufferPointer(start: nil, count: 0))
  }

  /// Takes what there is. Returns whether there was anything.
  func serve() throws -> Bool {
    var worked = false
    for queue in 0..<queueCount {
      EventDescriptor.drain(kicks.numbers[queue])
      while let head = try devices[queue].nextAvailable() {
        let request = try parse(queue, head)
        taken.append(request)
        held.append(request)
        worked = true
      }
      _ = devices[queue].enableKicks()
    }
    if !holds { try release() }
    return worked
  }

  /// Answers what is held, or the first so many of it.
  func release(first count: Int = .max) throws {
    for request in held.prefix(count) {
      let (status, errno) = answer(request)
      let memory = UnsafeMutableRawBufferPointer(
        start: payload + Int(request.payloadAddress - AddressMap.payload), count: request.payloadLength)
      if status == 0 { disk.perform(request, payload: memory) }
      writeStatus(request, status: status, errno: errno, tag: request.tag)
      let written = BlockClass.statusSize + (request.type == .read ? request.payloadLength : 0)
      devices[request.queue].complete(head: request.head, length: UInt32(written))
    }
    held.removeFirst(min(count, held.count))
    for queue in 0..<queueCount where devices[queue].publish() { EventDescriptor.signal(calls.numbers[queue]) }
  }

  func writeStatus(_ request: DriverRequest, status: UInt8, errno: UInt16, tag: UInt32) {
    let word = UInt64(status) | UInt64(errno) << 16 | UInt64(tag) << 32
    bh_store64(rings.mapping.base + Int(request.statusAddress - AddressMap.rings), word)
  }

  // MARK: What an honest driver does not do. Use on a queue on which nothing was completed.

  /// Writes used elements by hand and shows them.
  func forge(queue: Int, _ elements: [(id: UInt32, length: UInt32)]) {
    let used = rings.mapping.base + queue * layout.stride + layout.queue.usedOffset
    for (index, element) in elements.enumerated() {
      bh_store32(used + 4 + 8 * index, element.id)
      bh_store32(used + 4 + 8 * index + 4, element.length)
    }
    bh_store16_release(used + 2, UInt16(elements.count))
  }

  /// Sets the used index, whatever is in the ring.
  func jump(queue: Int, to index: UInt16) {
    bh_store16_release(rings.mapping.base + queue * layout.stride + layout.queue.usedOffset + 2, index)
  }

  // MARK: Reading

  private func parse(_ queue: Int, _ head: UInt16) throws -> DriverRequest {
    let chain = UnsafeMutableBufferPointer<VirtqueueDescriptor>.allocate(capacity: 4)
    defer { chain.deallocate() }
    let count = try devices[queue].copyChain(from: head, into: chain)
    let header = rings.mapping.base + Int(chain[0].address - AddressMap.rings)
    let hasPayload = count == 3
    return DriverRequest(
      queue: queue, head: head,
      type: BlockClass.RequestType(rawValue: bh_load32(header))!,
      unit: bh_load16(header + BlockClass.headerUnitOffset),
      flags: BlockClass.RequestFlags(rawValue: bh_load16(header + BlockClass.headerFlagsOffset)),
      sector: bh_load64(header + BlockClass.headerSectorOffset),
      sectors: bh_load32(header + BlockClass.segmentOffset + 8), tag: bh_load32(header + BlockClass.tagOffset),
      payloadAddress: hasPayload ? chain[1].address : AddressMap.payload,
      payloadLength: hasPayload ? Int(chain[1].length) : 0, statusAddress: chain[count - 1].address)
  }
}
