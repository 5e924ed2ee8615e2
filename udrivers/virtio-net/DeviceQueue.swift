import CBulkhead
import DriverKit
import Virtqueue

/// Memory of a queue, in the arena.
struct QueueMemory {
  let layout: VirtqueueLayout
  let memory: DMAMemory

  var address: UInt64 { memory.address }
}

/// One queue between driver and device: a split virtqueue in the arena, of which the driver is the guest. The device may
/// write to all of it at any time; nothing but the used ring is read.
struct DeviceQueue: ~Copyable {
  let index: Int
  /// Room for a queue of the greatest size.
  private let memory: DMAMemory
  private let limit: Int
  private var ring: VirtqueueGuest
  private var layout: VirtqueueLayout
  private var notify: NotifyRegister?
  private var hasEventIndex = true
  /// By descriptor: whether the device has the chain that begins there.
  private let isPosted: UnsafeMutablePointer<Bool>
  private var hasNews = false
  /// Chains that the device has finished, ever: does it move?
  private(set) var finished: UInt64 = 0

  /// - Parameter limit: the most descriptors; a power of two.
  init(_ index: Int, limit: Int, arena: inout Arena, for purpose: String) throws(DriverFailure) {
    let layout = VirtqueueLayout(size: limit)
    memory = try arena.allocate(layout.byteCount, for: purpose)
    ring = VirtqueueGuest(memory: memory.pointer, layout: layout)
    self.index = index
    self.limit = limit
    self.layout = layout
    isPosted = .allocate(capacity: limit)
    isPosted.initialize(repeating: false, count: limit)
  }

  deinit { isPosted.deallocate() }

  var size: Int { layout.size }
  /// Chains that the device has.
  @inline(__always) var outstanding: Int { ring.outstanding }

  /// Makes the queue known to the device, which was reset.
  mutating func program(_ transport: Transport, vector: Int?, hasEventIndex: Bool) throws(DriverFailure) {
    layout = VirtqueueLayout(size: min(limit, try transport.queueSize(index)))
    memory.zero()
    ring = VirtqueueGuest(memory: memory.pointer, layout: layout)
    isPosted.update(repeating: false, count: limit)
    (hasNews, self.hasEventIndex) = (false, hasEventIndex)
    notify = try transport.enable(index, QueueMemory(layout: layout, memory: memory), vector: vector)
    disarm()
  }

  /// Writes a descriptor that is not the last of its chain.
  func describe(_ descriptor: Int, address: UInt64, length: Int, next: Int) {
    ring.setDescriptor(
      descriptor,
      VirtqueueDescriptor(
        address: address, length: UInt32(length), flags: VirtqueueDescriptor.flagNext, next: UInt16(next)))
  }

  /// Writes the last descriptor of a chain.
  @inline(__always)
  func describe(_ descriptor: Int, address: UInt64, length: Int, isWritten: Bool) {
    ring.setDescriptor(
      descriptor,
      VirtqueueDescriptor(
        address: address, length: UInt32(truncatingIfNeeded: length),
        flags: isWritten ? VirtqueueDescriptor.flagWrite : 0))
  }

  /// Puts the chain that begins with `head` into the queue; the device learns of it with ``ringBell()``.
  @inline(__always)
  mutating func post(_ head: Int) {
    precondition(!isPosted[head], "the device has this chain already")
    isPosted[head] = true
    ring.submit(head: head)
    hasNews = true
  }

  /// Tells the device of what was posted, if it wants to hear of it.
  @inline(__always)
  mutating func ringBell() {
    guard hasNews else { return }
    hasNews = false
    let isWanted = ring.publish()
    // virtio 1.2 section 2.7.10: without event indexes it is the flag in the used ring.
    guard hasEventIndex ? isWanted : bh_load16(memory.pointer + layout.usedOffset) & 1 == 0 else { return }
    notify?.ring()
  }

  /// Notifies in any case: a notification may have been lost.
  func ringAgain() { notify?.ring() }

  /// Takes the next chain that the device has finished: its head, and how many bytes the device says it wrote.
  /// - Throws: ``FailureCode/deviceError`` when the used ring makes no sense; the queue is of no more use.
  @inline(__always)
  mutating func next() throws(DriverFailure) -> UsedElement? {
    let used: UsedElement?
    do throws(VirtqueueError) { used = try ring.nextUsed() } catch { throw failure(error) }
    guard let used else { return nil }
    let head = Int(used.id)
    guard isPosted[head] else { throw unknown(head) }
    isPosted[head] = false
    finished &+= 1
    return used
  }

  @inline(never)
  private func failure(_ error: VirtqueueError) -> DriverFailure {
    DriverFailure(.deviceError, "queue \(index) of the device: \(error)")
  }

  @inline(never)
  private func unknown(_ head: Int) -> DriverFailure {
    DriverFailure(.deviceError, "queue \(index) of the device: it finished chain \(head), which it did not have")
  }

  /// The next chain that the device finishes interrupts; the caller looks once more before it sleeps.
  @inline(__always)
  func arm() {
    if !hasEventIndex { bh_store16(memory.pointer + layout.availOffset, 0) }
    // With the barrier that both ways need.
    _ = ring.enableCalls()
  }

  /// Finished chains do not interrupt any more; a hint.
  @inline(__always)
  func disarm() {
    if hasEventIndex { ring.disableCalls() } else { bh_store16(memory.pointer + layout.availOffset, 1) }
  }
}
