import Platform

/// Where the parts of a split virtqueue are, in bytes from its beginning (virtio 1.2 section 2.7).
public struct VirtqueueLayout: Sendable, Hashable {
  /// Descriptors: a power of two from 1 to 32768.
  public let size: Int

  public init(size: Int) {
    precondition(size > 0 && size <= 32768 && size.nonzeroBitCount == 1, "a virtqueue's size is a power of two")
    self.size = size
  }

  /// 16 bytes for each descriptor; 16-byte aligned.
  public var descriptorOffset: Int { 0 }
  /// flags u16, idx u16, ring u16 × size, used_event u16; 2-byte aligned.
  public var availOffset: Int { size * 16 }
  public var usedEventOffset: Int { availOffset + 4 + size * 2 }
  /// flags u16, idx u16, ring (id u32, len u32) × size, avail_event u16; 4-byte aligned.
  public var usedOffset: Int { (usedEventOffset + 2 + 3) & ~3 }
  public var availEventOffset: Int { usedOffset + 4 + size * 8 }
  /// Bytes in all.
  public var byteCount: Int { availEventOffset + 2 }
}

/// Where a block queue and the slots of its requests are in the memory of the rings.
///
/// Queue q begins at `q * stride`: the virtqueue, then, on a page of its own, `slots` slots of `slotSize` bytes.
public struct SlottedQueueLayout: Sendable, Hashable {
  public let queue: VirtqueueLayout
  public let slots: Int
  public let slotSize: Int
  /// Bytes from the beginning of the queue to its first slot. Stored, as it is wanted for each request.
  public let slotsOffset: Int
  /// Bytes from one queue to the next; whole pages.
  public let stride: Int

  public init(queueSize: Int, slots: Int, slotSize: Int) {
    queue = VirtqueueLayout(size: queueSize)
    self.slots = slots
    self.slotSize = slotSize
    slotsOffset = roundedToPages(queue.byteCount)
    stride = slotsOffset + roundedToPages(slots * slotSize)
  }
}

/// One entry of the descriptor table (virtio 1.2 section 2.7.5), as a copy in private memory.
public struct VirtqueueDescriptor: Sendable, Equatable {
  /// The buffer continues in `next`.
  public static let flagNext: UInt16 = 1
  /// The device writes the buffer; otherwise it reads it.
  public static let flagWrite: UInt16 = 2
  /// The buffer is a table of descriptors; never negotiated here.
  public static let flagIndirect: UInt16 = 4

  public var address: UInt64
  /// Bytes.
  public var length: UInt32
  public var flags: UInt16
  public var next: UInt16

  public init(address: UInt64, length: UInt32, flags: UInt16 = 0, next: UInt16 = 0) {
    self.address = address
    self.length = length
    self.flags = flags
    self.next = next
  }
}

/// What the other side of a queue wrote that it must not write.
public enum VirtqueueError: Error, Equatable, Sendable {
  /// The index ran `distance` entries ahead, more than can be outstanding.
  case indexJump(distance: Int)
  /// A used element's id, an available head or a `next` is outside the descriptor table.
  case indexOutOfRange(UInt32)
  /// The chain is longer than its queue, or than the room given for it: a loop, or an unreasonable request.
  case chainTooLong
  /// An indirect descriptor, which was not negotiated.
  case indirect
}
