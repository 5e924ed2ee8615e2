import CBulkhead
import Platform
import Protocol
import Virtqueue

/// The chains of one ring, taken one at a time and translated into this process's memory.
///
/// A chain is copied and checked once, when it is taken, and only the copy is used. It stays taken until it is given
/// back: a buffer waits here for the next frame, a frame for room in the kernel.
struct ChainSource: ~Copyable {
  /// The most descriptors of one chain (vhost-net takes up to 1024).
  static let maximumParts = NetworkClass.maximumChain

  private var ring: VirtqueueDevice
  private let arena: ArenaView
  private let direction: NetworkClass.Direction
  /// The driver's wake-up, virtio's call.
  private let wake: Int32
  private let descriptors: UnsafeMutableBufferPointer<VirtqueueDescriptor>
  /// The chain that is held, in this process's memory.
  let parts: UnsafeMutablePointer<bh_part>
  private(set) var partCount = 0
  /// Bytes of the chain that is held, header and frame.
  private(set) var byteCount = 0
  private var head: UInt16 = 0
  private(set) var isHolding = false

  init(
    memory: UnsafeMutableRawPointer, layout: VirtqueueLayout, arena: ArenaView, direction: NetworkClass.Direction,
    wake: Int32
  ) {
    ring = VirtqueueDevice(memory: memory, layout: layout)
    self.arena = arena
    self.direction = direction
    self.wake = wake
    descriptors = .allocate(capacity: Self.maximumParts)
    parts = .allocate(capacity: Self.maximumParts)
  }

  deinit {
    descriptors.deallocate()
    parts.deallocate()
  }

  /// Takes the next chain, unless one is held.
  /// - Returns: whether one is held now.
  /// - Throws: ``RingFault``; the ring is of no more use.
  @inline(__always)
  mutating func take() throws(RingFault) -> Bool {
    if isHolding { return true }
    let count: Int
    do throws(VirtqueueError) {
      guard let head = try ring.nextAvailable() else { return false }
      self.head = head
      count = try ring.copyChain(from: head, into: descriptors)
    } catch { throw .ring(error) }
    byteCount = 0
    for index in 0..<count {
      let descriptor = descriptors[index]
      guard (descriptor.flags & VirtqueueDescriptor.flagWrite != 0) == (direction == .outbound) else {
        throw .wrongDirection(direction)
      }
      guard let pointer = arena.pointer(descriptor.address, descriptor.length) else {
        throw .outside(address: descriptor.address, length: descriptor.length)
      }
      parts[index] = bh_part(base: pointer, length: Int(descriptor.length))
      byteCount += Int(descriptor.length)
    }
    partCount = count
    isHolding = true
    return true
  }

  /// Gives the chain that is held back, `length` bytes of it written; visible after ``publish()``.
  @inline(__always)
  mutating func giveBack(length: Int) {
    precondition(isHolding, "nothing is held")
    ring.complete(head: head, length: UInt32(truncatingIfNeeded: length))
    isHolding = false
  }

  /// Shows the driver what was given back, and wakes it if it asked for that.
  @inline(__always)
  mutating func publish() { if ring.publish() { EventDescriptor.signal(wake) } }

  /// Asks to be woken for the next chain, and looks again.
  /// - Returns: whether there is one already.
  func enableKicks() -> Bool { ring.enableKicks() }

  func disableKicks() { ring.disableKicks() }
}
