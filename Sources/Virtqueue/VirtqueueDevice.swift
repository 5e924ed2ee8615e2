import CBulkhead

/// The side that serves requests: what virtio calls the device.
///
/// Every index, length and address that the other side can write is read once into a local and checked before use.
/// Event-index suppression is always on. Memory must be fresh (zeroed).
public struct VirtqueueDevice: ~Copyable {
  private let memory: VirtqueueMemory
  /// Next entry of the available ring to look at, and how far the other side has filled it.
  private var availIndex: UInt16 = 0
  private var availSeen: UInt16 = 0
  /// Next free place in the used ring, and how far the other side was shown it.
  private var usedIndex: UInt16 = 0
  private var published: UInt16 = 0
  /// Chains taken and not yet completed.
  public private(set) var outstanding = 0

  public init(memory: UnsafeMutableRawPointer, layout: VirtqueueLayout) {
    self.memory = VirtqueueMemory(base: memory, layout: layout)
  }

  /// Number of descriptors.
  public var size: Int { memory.layout.size }

  /// Takes the next available chain and returns its head.
  /// - Throws: ``VirtqueueError/indexJump(distance:)`` when more is claimed than the queue can hold (the queue is of no
  ///   more use), ``VirtqueueError/indexOutOfRange(_:)`` for a head outside the table (the entry is consumed).
  @inline(__always)
  public mutating func nextAvailable() throws(VirtqueueError) -> UInt16? {
    if availIndex == availSeen {
      let index = bh_load16_acquire(memory.availIndex)
      let distance = Int(index &- availIndex)
      guard distance > 0 else { return nil }
      guard distance <= memory.layout.size - outstanding else { throw .indexJump(distance: distance) }
      availSeen = index
    }
    let head = bh_load16(memory.availEntry(availIndex))
    availIndex &+= 1
    guard Int(head) < memory.layout.size else { throw .indexOutOfRange(UInt32(head)) }
    outstanding += 1
    return head
  }

  /// Copies one entry of the descriptor table.
  /// - Throws: ``VirtqueueError/indexOutOfRange(_:)``, ``VirtqueueError/indirect``.
  @inline(__always)
  public func descriptor(_ index: UInt16) throws(VirtqueueError) -> VirtqueueDescriptor {
    guard Int(index) < memory.layout.size else { throw .indexOutOfRange(UInt32(index)) }
    let entry = memory.descriptor(Int(index))
    let descriptor = VirtqueueDescriptor(
      address: bh_load64(entry), length: bh_load32(entry + 8), flags: bh_load16(entry + 12), next: bh_load16(entry + 14)
    )
    guard descriptor.flags & VirtqueueDescriptor.flagIndirect == 0 else { throw .indirect }
    return descriptor
  }

  /// Copies the chain that begins at `head`.
  /// - Returns: how many descriptors it has.
  /// - Throws: ``VirtqueueError``; `chainTooLong` where it does not fit into `chain`, which ends every loop.
  @inline(__always)
  public func copyChain(
    from head: UInt16, into chain: UnsafeMutableBufferPointer<VirtqueueDescriptor>
  ) throws(VirtqueueError) -> Int {
    var index = head
    var count = 0
    while true {
      guard count < chain.count, count < memory.layout.size else { throw .chainTooLong }
      let descriptor = try descriptor(index)
      chain[count] = descriptor
      count += 1
      guard descriptor.flags & VirtqueueDescriptor.flagNext != 0 else { return count }
      index = descriptor.next
    }
  }

  /// Gives a chain back, `length` bytes of it written; visible after ``publish()``.
  @inline(__always)
  public mutating func complete(head: UInt16, length: UInt32) {
    precondition(outstanding > 0, "completed more than was taken")
    let entry = memory.usedEntry(usedIndex)
    bh_store32(entry, UInt32(head))
    bh_store32(entry + 4, length)
    usedIndex &+= 1
    outstanding -= 1
  }

  /// Shows the other side what was completed.
  /// - Returns: whether it must be called.
  @inline(__always)
  public mutating func publish() -> Bool {
    guard usedIndex != published else { return false }
    let old = published
    bh_store16_release(memory.usedIndex, usedIndex)
    published = usedIndex
    bh_full_fence()
    return VirtqueueMemory.needsEvent(bh_load16(memory.usedEvent), new: usedIndex, old: old)
  }

  /// Asks to be kicked for the next available chain, then looks again.
  /// - Returns: whether there are chains already, so that sleeping would miss them.
  @inline(__always)
  public func enableKicks() -> Bool {
    bh_store16(memory.availEvent, availIndex)
    bh_full_fence()
    return availIndex != availSeen || bh_load16_acquire(memory.availIndex) != availIndex
  }

  /// Asks not to be kicked.
  @inline(__always)
  public func disableKicks() { bh_store16(memory.availEvent, availIndex &- 1 &+ 0x8000) }
}
