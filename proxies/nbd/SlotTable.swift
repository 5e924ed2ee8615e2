import CBulkhead
import Protocol
import Virtqueue

/// One part of a request: what the driver has in one slot of a queue.
struct Part {
  var isInFlight = false
  var operation = BlockClass.RequestType.read
  var flags = BlockClass.RequestFlags()
  var unit: UInt16 = 0
  var request: Int32 = -1
  var tag: UInt32 = 0
  /// Counts submissions of parts, so that they can be given to the next driver in the same order.
  var sequence: UInt64 = 0
  /// Bytes from the beginning of the unit.
  var offset: UInt64 = 0
  var length: UInt32 = 0
  /// Bytes from the beginning of payload memory.
  var payload: UInt64 = 0
}

/// The slots of all queues: broker's memory about them, and their representation in the memory of the rings.
///
/// Slot s of queue q is entry `q * slotsPerQueue + s`. Descriptors 3s, 3s+1 and 3s+2 of the queue belong to it.
final class SlotTable {
  let queues: Int
  /// Slots of one queue.
  let slots: Int
  /// Bytes from one queue to the next, and from its beginning to its first slot.
  private let stride: Int
  private let slotsOffset: Int
  private let parts: UnsafeMutablePointer<Part>
  /// A stack of free slots for each queue.
  private let free: UnsafeMutablePointer<Int32>
  private let freeCounts: UnsafeMutablePointer<Int>

  init(layout: SlottedQueueLayout, queues: Int) {
    self.queues = queues
    slots = layout.slots
    stride = layout.stride
    slotsOffset = layout.slotsOffset
    let count = queues * slots
    parts = .allocate(capacity: count)
    parts.initialize(repeating: Part(), count: count)
    free = .allocate(capacity: count)
    freeCounts = .allocate(capacity: queues)
    for queue in 0..<queues {
      for slot in 0..<slots { (free + queue * slots + slot).initialize(to: Int32(slots - 1 - slot)) }
      (freeCounts + queue).initialize(to: slots)
    }
  }

  deinit {
    parts.deallocate()
    free.deallocate()
    freeCounts.deallocate()
  }

  subscript(queue: Int, slot: Int) -> Part {
    @inline(__always) get { parts[queue * slots + slot] }
    @inline(__always) _modify { yield &parts[queue * slots + slot] }
  }

  /// Slots that hold a part.
  var inFlight: Int {
    var count = queues * slots
    for queue in 0..<queues { count -= freeCounts[queue] }
    return count
  }

  /// Whether any slot holds a part.
  @inline(__always)
  var isInFlight: Bool {
    for queue in 0..<queues where freeCounts[queue] < slots { return true }
    return false
  }

  /// A queue with a free slot, `preferred` if it has one.
  @inline(__always)
  func queue(preferred: Int) -> Int? {
    if freeCounts[preferred] > 0 { return preferred }
    for queue in 0..<queues where freeCounts[queue] > 0 { return queue }
    return nil
  }

  @inline(__always)
  func take(queue: Int) -> Int {
    precondition(freeCounts[queue] > 0, "no free slot")
    freeCounts[queue] -= 1
    let slot = Int(free[queue * slots + freeCounts[queue]])
    self[queue, slot].isInFlight = true
    return slot
  }

  @inline(__always)
  func release(queue: Int, slot: Int) {
    precondition(self[queue, slot].isInFlight, "released a free slot")
    self[queue, slot].isInFlight = false
    free[queue * slots + freeCounts[queue]] = Int32(slot)
    freeCounts[queue] += 1
  }

  /// Writes the part in a slot into the rings and makes it available; the next publish shows it to the driver.
  func write(queue: Int, slot: Int, base: UnsafeMutableRawPointer, guest: inout VirtqueueGuest) {
    let part = self[queue, slot]
    let place = queue * stride + slotsOffset + slot * BlockClass.slotSize
    let memory = base + place
    let address = AddressMap.rings + UInt64(place)
    let sector = part.offset / UInt64(BlockClass.sectorSize)
    bh_store32(memory + BlockClass.headerTypeOffset, part.operation.rawValue)
    bh_store16(memory + BlockClass.headerUnitOffset, part.unit)
    bh_store16(memory + BlockClass.headerFlagsOffset, part.flags.rawValue)
    bh_store64(memory + BlockClass.headerSectorOffset, sector)
    bh_store64(memory + BlockClass.segmentOffset, sector)
    bh_store32(memory + BlockClass.segmentOffset + 8, part.length / UInt32(BlockClass.sectorSize))
    bh_store32(memory + BlockClass.segmentOffset + 12, 0)
    bh_store32(memory + BlockClass.tagOffset, part.tag)
    // No status that a driver could leave untouched and mean.
    bh_store64(memory + BlockClass.statusOffset, .max)

    let header = slot * BlockClass.descriptorsPerSlot
    let hasPayload = part.operation == .read || part.operation == .write
    guest.setDescriptor(
      header,
      VirtqueueDescriptor(
        address: address, length: UInt32(BlockClass.requestSize), flags: VirtqueueDescriptor.flagNext,
        next: UInt16(header + (hasPayload ? 1 : 2))))
    if hasPayload {
      let direction = part.operation == .read ? VirtqueueDescriptor.flagWrite : 0
      guest.setDescriptor(
        header + 1,
        VirtqueueDescriptor(
          address: AddressMap.payload + part.payload, length: part.length,
          flags: VirtqueueDescriptor.flagNext | direction, next: UInt16(header + 2)))
    }
    guest.setDescriptor(
      header + 2,
      VirtqueueDescriptor(
        address: address + UInt64(BlockClass.statusOffset), length: UInt32(BlockClass.statusSize),
        flags: VirtqueueDescriptor.flagWrite))
    guest.submit(head: header)
  }

  /// The status area of a slot, read once.
  @inline(__always)
  func status(queue: Int, slot: Int, base: UnsafeMutableRawPointer) -> UInt64 {
    bh_load64(base + queue * stride + slotsOffset + slot * BlockClass.slotSize + BlockClass.statusOffset)
  }
}
