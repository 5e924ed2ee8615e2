import Broker
import Platform
import Protocol
import Virtqueue

/// What the dispatcher needs to know of a unit.
struct UnitLimits {
  var maximumTransfer: UInt32 = 0
  /// The most bytes of one discard or write zeroes.
  var maximumBare: UInt32 = 0
  var features = BlockUnit.Features()

  init() {}

  init(_ unit: BlockUnit) {
    // Whole pages where possible, so that every part begins at a page.
    let page = UInt32(PayloadAllocator.pageSize)
    maximumTransfer = unit.maximumTransfer >= page ? unit.maximumTransfer / page * page : unit.maximumTransfer
    // An NVMe command counts up to 65536 blocks (NVMe 2.0 NVM command set, section 3.2.8).
    maximumBare = UInt32(min(65536 * UInt64(unit.blockSize), 1 << 30))
    features = unit.features
  }
}

extension UnitLimits {
  /// Whether a driver with these can be given what was cut for one with those of `other`.
  func permits(_ other: UnitLimits) -> Bool {
    maximumTransfer >= other.maximumTransfer && maximumBare >= other.maximumBare
      && (features.contains(.forceUnitAccess) || !other.features.contains(.forceUnitAccess))
  }
}

/// Turns requests into parts for the driver, and the driver's completions into finished requests. It outlives drivers:
/// what one has not done is given to the next.
///
/// It trusts nothing that it reads from the memory of the rings, and reads each of it once.
final class Dispatcher {
  let requests: RequestTable
  let slots: SlotTable
  private(set) var counters = BrokerCounters()
  let latencies = LatencyTable()
  private let units: UnsafeMutablePointer<UnitLimits>
  let durability = UnsafeMutablePointer<UnitDurability>.allocate(capacity: BlockUnit.maximumCount)
  let guests: UnsafeMutablePointer<VirtqueueGuest>
  private var queues: DriverQueues?
  private(set) var base = UnsafeMutableRawPointer(bitPattern: 16)!
  /// eventfds, one for each queue.
  private let kicks: UnsafeMutablePointer<Int32>
  private var pending = RequestList()
  private var finished = RequestList()
  /// Requests that wait for older ones, see ``RangeTable``.
  private var blocked = RequestList()
  let ranges: RangeTable
  private var nextArrival: UInt64 = 0
  private var nextTag: UInt32 = 0
  private var nextSequence: UInt64 = 0
  /// Whether parts may be given to the driver.
  private var isIssuing = false
  private let payloadSize: Int
  private(set) weak var host: (any ProxyHost)?

  init(layout: SlottedQueueLayout, queues: Int, requests capacity: Int, payloadSize: Int) {
    requests = RequestTable(capacity: capacity)
    ranges = RangeTable(capacity: capacity)
    slots = SlotTable(layout: layout, queues: queues)
    self.payloadSize = payloadSize
    units = .allocate(capacity: BlockUnit.maximumCount)
    units.initialize(repeating: UnitLimits(), count: BlockUnit.maximumCount)
    guests = .allocate(capacity: queues)
    kicks = .allocate(capacity: queues)
    kicks.initialize(repeating: -1, count: queues)
    durability.initialize(repeating: UnitDurability(), count: BlockUnit.maximumCount)
  }

  deinit {
    stop()
    requests.deallocate()
    ranges.deallocate()
    latencies.deallocate()
    units.deallocate()
    durability.deallocate()
    guests.deallocate()
    kicks.deallocate()
  }

  func attach(to host: any ProxyHost) { self.host = host }

  /// A driver's limits, before it starts. Where they are less than those of the one before it, what is under way is cut anew.
  func setUnit(_ index: Int, _ limits: UnitLimits) {
    let old = units[index]
    units[index] = limits
    guard !limits.permits(old) else { return }
    if !limits.features.contains(.forceUnitAccess) { flushInstead(unit: index) }
    beginAnew { Int($0.unit) == index }
  }
  func limits(_ unit: UInt16) -> UnitLimits { units[Int(unit)] }

  // MARK: Drivers

  /// A driver serves. What the last one left is submitted again, in the same order.
  func start(_ queues: DriverQueues) {
    precondition(self.queues == nil && queues.count == slots.queues, "one driver at a time")
    self.queues = queues
    base = queues.base
    for queue in 0..<queues.count {
      (guests + queue).initialize(
        to: VirtqueueGuest(memory: base + queue * queues.layout.stride, layout: queues.layout.queue))
      kicks[queue] = queues.kicks[queue]
    }
    replay()
    isIssuing = true
  }

  /// The order does not matter to what is on the device afterwards: no two of the parts overlap where one of them
  /// writes (see ``RangeTable``), and a flush owes nothing to what was not answered before it came. A part that the
  /// device had already carried out is carried out again, with the same data, before anybody hears of it. What was
  /// answered stays in no slot and is not replayed.
  private func replay() {
    var left: [(sequence: UInt64, queue: Int, slot: Int)] = []
    for queue in 0..<slots.queues {
      for slot in 0..<slots.slots where slots[queue, slot].isInFlight {
        left.append((slots[queue, slot].sequence, queue, slot))
      }
    }
    left.sort { $0.sequence < $1.sequence }
    for part in left { submit(queue: part.queue, slot: part.slot) }
    counters.replayed += UInt64(left.count)
    if !left.isEmpty { Log.info("\(left.count) requests replayed") }
    for queue in 0..<slots.queues { publish(queue) }
  }

  /// Gives the driver nothing more.
  func pause() { isIssuing = false }

  /// Forgets the driver's rings. What it had stays in the slots.
  func stop() {
    isIssuing = false
    guard let queues else { return }
    (guests).deinitialize(count: queues.count)
    self.queues = nil
  }

  /// Whether there is a driver whose rings can be looked at.
  var isRunning: Bool { queues != nil }

  // MARK: From clients

  /// Takes a request whose payload, if it has any, is there.
  func accept(_ index: Int32) {
    let request = requests[index]
    requests[index].accepted = latencies.now
    count(request)
    if request.operation == .flush, !limits(request.unit).features.contains(.volatileCache) {
      // Without a volatile cache a write that was completed is on the medium: there is nothing left to do.
      return finish(index)
    }
    guard request.operation != .flush else { return enqueue(index) }
    requests[index].arrival = nextArrival
    nextArrival += 1
    let blockers = ranges.block(request)
    ranges.insert(index, in: requests)
    guard blockers > 0 else { return enqueue(index) }
    requests[index].blockers = blockers
    requests[index].state = .blocked
    blocked.append(index, in: requests)
  }

  /// Answers a request without the driver: with an error, or because there is nothing to do.
  func answer(_ index: Int32, _ complaint: Complaint) {
    fail(index, complaint)
    finish(index)
  }

  /// The next request that is done, or nil.
  func takeFinished() -> Int32? { finished.isEmpty ? nil : finished.removeFirst(in: requests) }

  /// A client is gone. What the driver has completes silently; what it has not is dropped, and its payload freed.
  ///
  /// Nobody waits for what was dropped any more, but for what the driver has: see ``RangeTable``.
  func forget(connection: Int32, freeing free: (Int32) -> Void) {
    var dropped = RequestList()
    blocked = split(blocked, connection, &dropped)
    pending = split(pending, connection, &dropped)
    for index in 0..<Int32(requests.capacity) where requests[index].connection == connection {
      requests[index].connection = -1
    }
    while !dropped.isEmpty {
      let index = dropped.removeFirst(in: requests)
      unblock(index)
      free(index)
    }
  }

  /// Takes a client's requests of which the driver has nothing out of a list. Returns the rest of it.
  private func split(_ list: RequestList, _ connection: Int32, _ dropped: inout RequestList) -> RequestList {
    var list = list
    var rest = RequestList()
    while !list.isEmpty {
      let index = list.removeFirst(in: requests)
      let isMeant = requests[index].connection == connection
      if isMeant, requests[index].parts == 0, requests[index].issued == 0 {
        dropped.append(index, in: requests)
        continue
      }
      if isMeant, requests[index].error == 0 { fail(index, .shutdown) }
      rest.append(index, in: requests)
    }
    return rest
  }

  /// Ends everything that is not done with an error.
  func abandon() {
    // Nobody is to be woken: all end.
    while !blocked.isEmpty { pending.append(blocked.removeFirst(in: requests), in: requests) }
    while !pending.isEmpty { answer(pending.removeFirst(in: requests), .shutdown) }
    for index in 0..<Int32(requests.capacity) where requests[index].state == .active { answer(index, .shutdown) }
    for queue in 0..<slots.queues {
      for slot in 0..<slots.slots where slots[queue, slot].isInFlight { slots.release(queue: queue, slot: slot) }
    }
  }

  /// Says how a request will end.
  func fail(_ index: Int32, _ complaint: Complaint) {
    requests[index].error = complaint.error
    requests[index].complaint = complaint
  }

  // MARK: To the driver

  /// Gives parts of waiting requests to the driver as long as there are slots, in turns, so that a large request does not
  /// hold up small ones. Returns whether there was anything to do.
  func issue() -> Bool {
    var worked = false
    while !pending.isEmpty {
      let index = pending.head
      let request = requests[index]
      if request.error != 0 {
        // A part has failed: the rest is not worth the while.
        _ = pending.removeFirst(in: requests)
        requests[index].state = .active
        if request.parts == 0 { finish(index) }
        worked = true
        continue
      }
      let preferred = request.connection < 0 ? 0 : Int(request.connection) % slots.queues
      guard isIssuing, let queue = slots.queue(preferred: preferred) else { break }
      _ = pending.removeFirst(in: requests)
      issuePart(of: index, queue: queue)
      if requests[index].state == .pending { pending.append(index, in: requests) }
      worked = true
    }
    if worked, isRunning { for queue in 0..<slots.queues { publish(queue) } }
    return worked
  }

  private func issuePart(of index: Int32, queue: Int) {
    var request = requests[index]
    let slot = slots.take(queue: queue)
    var part = Part()
    part.isInFlight = true
    part.request = index
    part.unit = request.unit
    part.sequence = nextSequence
    nextSequence += 1
    if request.isFlushing || request.operation == .flush {
      part.operation = .flush
      request.covers = durability[Int(request.unit)].changes
      request.state = .active
    } else {
      let limits = units[Int(request.unit)]
      let hasPayload = request.operation == .read || request.operation == .write
      part.operation = request.operation
      part.flags = request.flags
      part.offset = request.offset + UInt64(request.issued)
      part.length = min(request.length - request.issued, hasPayload ? limits.maximumTransfer : limits.maximumBare)
      if hasPayload {
        part.payload = UInt64(PayloadAllocator.offset(request.extent)) + UInt64(request.issued)
        precondition(part.payload + UInt64(part.length) <= UInt64(payloadSize), "payload outside its memory")
      }
      request.issued += part.length
      if request.issued == request.length { request.state = .active }
    }
    request.parts += 1
    requests[index] = request
    slots[queue, slot] = part
    submit(queue: queue, slot: slot)
  }

  private func submit(queue: Int, slot: Int) {
    nextTag &+= 1
    slots[queue, slot].tag = nextTag
    slots.write(queue: queue, slot: slot, base: base, guest: &guests[queue])
  }

  private func publish(_ queue: Int) {
    if guests[queue].publish() { EventDescriptor.signal(kicks[queue]) }
  }

  // MARK: Lists and counters

  func enqueue(_ index: Int32) {
    requests[index].state = .pending
    pending.append(index, in: requests)
  }

  /// A request is done, or will not be: those that waited only for it go on.
  private func unblock(_ index: Int32) {
    guard requests[index].range >= 0, ranges.remove(index, in: requests) else { return }
    let done = requests[index]
    var rest = RequestList()
    while !blocked.isEmpty {
      let waiting = blocked.removeFirst(in: requests)
      if RangeTable.waits(requests[waiting], for: done) { requests[waiting].blockers -= 1 }
      if requests[waiting].blockers == 0 {
        enqueue(waiting)
      } else {
        rest.append(waiting, in: requests)
      }
    }
    blocked = rest
  }

  func finish(_ index: Int32) {
    requests[index].state = .finished
    unblock(index)
    noteDurability(index)
    if requests[index].error != 0 { counters.errors += 1 }
    if requests[index].accepted != 0 { latencies.count(requests[index].operation, since: requests[index].accepted) }
    finished.append(index, in: requests)
  }

  /// So many requests go to another driver, all of them.
  func noteReplay(_ count: Int) { counters.replayed += UInt64(count) }

  private func count(_ request: Request) {
    switch request.operation {
    case .read:
      counters.reads += 1
      counters.bytesRead += UInt64(request.length)
    case .write, .writeZeroes:
      counters.writes += 1
      counters.bytesWritten += UInt64(request.length)
    case .flush: counters.flushes += 1
    case .discard: counters.discards += 1
    }
  }
}
