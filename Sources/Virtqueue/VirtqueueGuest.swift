import CBulkhead

/// A completed request as the device side reported it.
public struct UsedElement: Sendable, Equatable {
  /// Head of the chain; smaller than the queue's size. Whether it is in flight is for the caller to know.
  public var id: UInt32
  /// Bytes that the device side says it wrote; not checked.
  public var length: UInt32
}

/// The side that makes requests available and learns of their completion: what virtio calls the driver.
///
/// It keeps its own copy of everything it needs and reads from shared memory only the used ring: `idx`, one element at a
/// time, and `avail_event`. Event-index suppression is always on (VIRTIO_F_EVENT_IDX). Memory must be fresh (zeroed).
public struct VirtqueueGuest: ~Copyable {
  private let memory: VirtqueueMemory
  /// Next free place in the available ring, and how far the other side was shown it.
  private var availIndex: UInt16 = 0
  private var published: UInt16 = 0
  /// Next element of the used ring to look at, and how far the other side has filled it.
  private var usedIndex: UInt16 = 0
  private var usedSeen: UInt16 = 0
  /// Chains handed over and not yet completed; bounds what the used index may say.
  public private(set) var outstanding = 0

  public init(memory: UnsafeMutableRawPointer, layout: VirtqueueLayout) {
    self.memory = VirtqueueMemory(base: memory, layout: layout)
  }

  /// Number of descriptors.
  public var size: Int { memory.layout.size }

  /// Writes one entry of the descriptor table.
  @inline(__always)
  public func setDescriptor(_ index: Int, _ descriptor: VirtqueueDescriptor) {
    precondition(index >= 0 && index < memory.layout.size, "descriptor outside the table")
    let entry = memory.descriptor(index)
    bh_store64(entry, descriptor.address)
    bh_store32(entry + 8, descriptor.length)
    bh_store16(entry + 12, descriptor.flags)
    bh_store16(entry + 14, descriptor.next)
  }

  /// Puts the chain that begins with descriptor `head` into the available ring; visible after ``publish()``.
  @inline(__always)
  public mutating func submit(head: Int) {
    precondition(head >= 0 && head < memory.layout.size && outstanding < memory.layout.size, "no room in the queue")
    bh_store16(memory.availEntry(availIndex), UInt16(truncatingIfNeeded: head))
    availIndex &+= 1
    outstanding += 1
  }

  /// Shows the other side what was submitted.
  /// - Returns: whether it must be kicked.
  @inline(__always)
  public mutating func publish() -> Bool {
    guard availIndex != published else { return false }
    let old = published
    bh_store16_release(memory.availIndex, availIndex)
    published = availIndex
    bh_full_fence()
    return VirtqueueMemory.needsEvent(bh_load16(memory.availEvent), new: availIndex, old: old)
  }

  /// Takes the next completion.
  /// - Throws: ``VirtqueueError/indexJump(distance:)`` when more completions are claimed than requests are outstanding
  ///   (the queue is of no more use), ``VirtqueueError/indexOutOfRange(_:)`` for an id outside the table (the element is
  ///   consumed, the queue goes on).
  @inline(__always)
  public mutating func nextUsed() throws(VirtqueueError) -> UsedElement? {
    if usedIndex == usedSeen {
      let index = bh_load16_acquire(memory.usedIndex)
      let distance = Int(index &- usedIndex)
      guard distance > 0 else { return nil }
      guard distance <= outstanding else { throw .indexJump(distance: distance) }
      usedSeen = index
    }
    let entry = memory.usedEntry(usedIndex)
    let id = bh_load32(entry)
    let length = bh_load32(entry + 4)
    usedIndex &+= 1
    outstanding -= 1
    guard id < UInt32(memory.layout.size) else { throw .indexOutOfRange(id) }
    return UsedElement(id: id, length: length)
  }

  /// Asks to be called for the next completion, then looks again.
  /// - Returns: whether there are completions already, so that sleeping would miss them.
  @inline(__always)
  public func enableCalls() -> Bool {
    bh_store16(memory.usedEvent, usedIndex)
    bh_full_fence()
    return usedIndex != usedSeen || bh_load16_acquire(memory.usedIndex) != usedIndex
  }

  /// Asks not to be called: the event index points to an entry that is the last to come.
  @inline(__always)
  public func disableCalls() { bh_store16(memory.usedEvent, usedIndex &- 1 &+ 0x8000) }
}
