import CBulkhead
import Virtqueue

/// The guest's side of a split virtqueue, by hand: whatever is written here, nothing is checked but that it stays inside
/// the queue. For tests and for the hostile driver.
public struct RawRing {
  public let layout: VirtqueueLayout
  private let base: UnsafeMutableRawPointer
  /// What was put into the available ring, shown or not.
  public private(set) var available: UInt16 = 0

  /// - Parameter memory: `layout.byteCount` bytes, fresh.
  public init(memory: UnsafeMutableRawPointer, layout: VirtqueueLayout) {
    base = memory
    self.layout = layout
  }

  /// Writes an entry of the descriptor table; `index` is taken modulo the size.
  public func describe(_ index: Int, _ descriptor: VirtqueueDescriptor) {
    let entry = base + layout.descriptorOffset + (index & (layout.size - 1)) * 16
    bh_store64(entry, descriptor.address)
    bh_store32(entry + 8, descriptor.length)
    bh_store16(entry + 12, descriptor.flags)
    bh_store16(entry + 14, descriptor.next)
  }

  /// Puts `head` into the available ring; seen after ``show()``.
  public mutating func offer(_ head: UInt16) {
    bh_store16(base + layout.availOffset + 4 + (Int(available) & (layout.size - 1)) * 2, head)
    available &+= 1
  }

  /// Shows the other side what was offered.
  public func show() { bh_store16_release(base + layout.availOffset + 2, available) }

  /// Shows an index of one's own choice, and goes on from there.
  public mutating func show(index: UInt16) {
    available = index
    show()
  }

  /// Writes `flags` of the available ring, and `used_event`.
  public func ask(flags: UInt16, usedEvent: UInt16) {
    bh_store16(base + layout.availOffset, flags)
    bh_store16(base + layout.usedEventOffset, usedEvent)
  }

  /// Overwrites what is the other side's: the flags and the index of the used ring, and `avail_event`.
  public func forgeUsed(flags: UInt16, index: UInt16, availEvent: UInt16) {
    bh_store16(base + layout.usedOffset, flags)
    bh_store16_release(base + layout.usedOffset + 2, index)
    bh_store16(base + layout.availEventOffset, availEvent)
  }

  /// Index of the used ring, as the other side says.
  public var used: UInt16 { bh_load16_acquire(base + layout.usedOffset + 2) }

  /// The used ring's element `index`, modulo the size.
  public func usedElement(_ index: UInt16) -> (head: UInt32, length: UInt32) {
    let entry = base + layout.usedOffset + 4 + (Int(index) & (layout.size - 1)) * 8
    return (bh_load32(entry), bh_load32(entry + 4))
  }

  /// Writes 16 bits anywhere in the queue: `place` is taken modulo its length.
  public func scribble(_ place: Int, _ value: UInt16) {
    bh_store16(base + place % (layout.byteCount / 2) * 2, value)
  }
}
