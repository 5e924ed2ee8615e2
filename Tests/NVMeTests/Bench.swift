import DriverRig
import Glibc
import Virtqueue

@testable import DriverKit
@testable import NVMe

/// The driver between a fake controller and a broker's end of the queues, all on the test's thread.
final class Bench {
  let arena = FakeMemory(address: 0x1000_0000, length: 8 << 20)
  let payload = FakeMemory(address: 0x2000_0000, length: 4 << 20)
  let rings: FakeMemory
  let fake: FakeController
  let device: Device
  let driver: NVMeDriver
  let layout = SlottedQueueLayout(queueSize: 64, slots: 16, slotSize: 64)
  private var guest: VirtqueueGuest
  private(set) var units: [BlockUnit] = []
  private let files: [Int32]
  private var nextTag: UInt32 = 100
  private var tags: [Int: UInt32] = [:]

  struct Answer: Equatable {
    var status: UInt8
    var errno: Int32
    var length: UInt32
  }

  init(
    blocks: Int = 4096, blockShift: Int = 9, options: [String] = [], interrupts: UInt8 = 2,
    prepare: (FakeController) -> Void = { _ in }
  ) throws {
    rings = FakeMemory(address: 0xC000_0000, length: layout.stride)
    fake = FakeController(memories: [arena, payload], blocks: blocks, blockShift: blockShift)
    prepare(fake)
    let (near, far) = try PacketSocket.pair()
    let events = try (0..<(2 + Int(interrupts))).map { _ in try EventDescriptor.make().release() }
    files = [near, far] + events
    let grant = DeviceGrant(
      deviceClass: .block, vendor: 0x1b36, device: 0x10, subsystemVendor: 0, subsystem: 0, revision: 0,
      interrupts: interrupts, queues: 1, queueSize: 64, arenaSize: UInt32(arena.length),
      payloadSize: UInt32(payload.length), payloadMapped: false, spinMicroseconds: 0, bars: [])
    device = Device(
      grant: grant, control: ControlPort(socket: near), bars: [fake.bar()], arena: arena.dma, rings: rings.pointer,
      interrupts: Array(events[2...]), kicks: [events[0]], calls: [events[1]])
    guest = VirtqueueGuest(memory: rings.pointer, layout: layout.queue)
    driver = try NVMeDriver(device: device, options: Options(arguments: options))
  }

  deinit { files.forEach(Descriptor.close) }

  @discardableResult
  func start() throws -> Bench {
    units = try driver.start()
    // The reads with which it looks at the size of blocks.
    fake.log.removeAll()
    return self
  }

  /// Makes a request available in `slot`.
  func submit(
    _ type: BlockClass.RequestType, slot: Int = 0, sector: UInt64 = 0, sectors: UInt32 = 0, at offset: Int = 0,
    flags: BlockClass.RequestFlags = [], unit: UInt16 = 0
  ) {
    let slotOffset = layout.slotsOffset + slot * 64
    let memory = rings.pointer + slotOffset
    nextTag += 1
    tags[slot] = nextTag
    memory.storeBytes(of: type.rawValue, as: UInt32.self)
    memory.storeBytes(of: unit, toByteOffset: 4, as: UInt16.self)
    memory.storeBytes(of: flags.rawValue, toByteOffset: 6, as: UInt16.self)
    let hasPayload = type == .read || type == .write
    memory.storeBytes(of: sector, toByteOffset: hasPayload ? 8 : 16, as: UInt64.self)
    memory.storeBytes(of: sectors, toByteOffset: 24, as: UInt32.self)
    memory.storeBytes(of: nextTag, toByteOffset: 32, as: UInt32.self)
    memory.storeBytes(of: .max, toByteOffset: 48, as: UInt64.self)
    let address = rings.address + UInt64(slotOffset)
    let first = UInt16(slot * 3)
    guest.setDescriptor(
      slot * 3,
      VirtqueueDescriptor(address: address, length: 36, flags: 1, next: hasPayload ? first + 1 : first + 2))
    if hasPayload {
      guest.setDescriptor(
        slot * 3 + 1,
        VirtqueueDescriptor(
          address: payload.address + UInt64(offset), length: sectors * 512, flags: type == .read ? 3 : 1,
          next: first + 2))
    }
    guest.setDescriptor(slot * 3 + 2, VirtqueueDescriptor(address: address + 48, length: 8, flags: 2))
    guest.submit(head: slot * 3)
    _ = guest.publish()
  }

  /// Lets the driver work until it finds nothing more to do.
  func run() throws {
    var found = true
    while found {
      found = false
      for vector in 0..<device.interruptCount where try driver.interrupt(vector) { found = true }
      for queue in device.queues where try driver.queueReady(queue) { found = true }
      for queue in device.queues { queue.flush() }
    }
  }

  /// The answers by slot; the tag of each must be the one that was sent last.
  func answers() throws -> [Int: Answer] {
    var answers: [Int: Answer] = [:]
    while let used = try guest.nextUsed() {
      let slot = Int(used.id) / 3
      let word = (rings.pointer + layout.slotsOffset + slot * 64 + 48).load(as: UInt64.self)
      guard UInt32(truncatingIfNeeded: word >> 32) == tags[slot] else { continue }
      answers[slot] = Answer(
        status: UInt8(truncatingIfNeeded: word), errno: Int32(truncatingIfNeeded: word >> 16 & 0xffff),
        length: used.length)
    }
    return answers
  }

  /// One request from beginning to end; nil where it was not answered.
  func request(
    _ type: BlockClass.RequestType, sector: UInt64 = 0, sectors: UInt32 = 0, at offset: Int = 0,
    flags: BlockClass.RequestFlags = [], unit: UInt16 = 0
  ) throws -> Answer? {
    submit(type, sector: sector, sectors: sectors, at: offset, flags: flags, unit: unit)
    try run()
    return try answers()[0]
  }

  /// Lets the driver's watchdog fire `count` times, with the loop's work in between.
  func tick(_ count: Int) throws {
    for _ in 0..<count {
      try driver.timer(NVMeDriver.watchdog)
      try run()
    }
  }

  var payloadBytes: UnsafeMutableBufferPointer<UInt8> {
    UnsafeMutableBufferPointer(start: payload.pointer.assumingMemoryBound(to: UInt8.self), count: payload.length)
  }
}
