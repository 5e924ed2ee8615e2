import Protocol
import Virtqueue

/// One thing that a driver must not write into a virtqueue of the network class.
public enum RingForgery: String, CaseIterable, Sendable {
  /// Addresses outside the arena: where nothing is, 0, the rings, the payload, right before, right behind.
  case nowhere, zero, rings, payload, before, behind
  /// Ranges that leave it: over the end, over the end of all addresses, of 4 GiB, of no length behind the end.
  case over, wrap, huge, empty
  /// Chains without end: a descriptor that follows itself, two that follow each other; one as long as the queue.
  case selfLoop = "self-loop"
  case loop, long
  /// A descriptor that does not exist: the next one, the first one.
  case next, head
  /// An available index that ran ahead of the queue, or back.
  case ahead, back
  /// A table of descriptors, which was not negotiated.
  case indirect
  /// Memory to be read where it is to be written, or the other way round; and in the second part of a chain only.
  case direction
  case laterDirection = "later-direction"
  /// The same buffer twice.
  case twice
  /// Bits that mean nothing in flags of descriptors and rings, and the other side's indexes overwritten.
  case flags
  case used

  /// Whether the queue is of no more use, as every device side sees it; the others may be borne.
  public var isFatal: Bool {
    switch self {
    case .empty, .twice, .flags, .used: false
    default: true
    }
  }

  /// Writes it. What was offered before stays.
  /// - Parameters:
  ///   - honest: a descriptor that would be right.
  ///   - index: of the descriptor to be used; the one behind it is used as well.
  ///   - arena: bytes of the arena.
  public func write(to ring: inout RawRing, _ honest: VirtqueueDescriptor, index: Int, arena: UInt64) {
    let size = ring.layout.size
    let index = index & (size - 1)
    let following = UInt16((index + 1) & (size - 1))
    let end = AddressMap.arena + arena
    var forged = honest
    func chained() -> VirtqueueDescriptor {
      VirtqueueDescriptor(
        address: honest.address, length: honest.length, flags: honest.flags | VirtqueueDescriptor.flagNext,
        next: following)
    }
    switch self {
    case .nowhere: forged.address = 0xDEAD_0000_0000
    case .zero: forged.address = 0
    case .rings: forged.address = AddressMap.rings
    case .payload: forged.address = AddressMap.payload
    case .before: forged.address = AddressMap.arena - 1
    case .behind: forged.address = end
    case .over: forged.address = end - UInt64(honest.length) + 1
    case .wrap: forged.address = .max - 7
    case .huge: forged.length = .max
    case .empty: forged = VirtqueueDescriptor(address: end, length: 0, flags: honest.flags)
    case .selfLoop:
      forged = chained()
      forged.next = UInt16(index)
    case .loop:
      forged = chained()
      var back = chained()
      back.next = UInt16(index)
      ring.describe(Int(following), back)
    case .long:
      for place in 0..<size {
        ring.describe(
          place,
          VirtqueueDescriptor(
            address: honest.address, length: 64,
            flags: honest.flags | (place == size - 1 ? 0 : VirtqueueDescriptor.flagNext), next: UInt16(place + 1)))
      }
      ring.offer(0)
      return ring.show()
    case .next:
      forged = chained()
      forged.next = UInt16(size)
    case .head:
      ring.offer(UInt16(size))
      return ring.show()
    case .ahead: return ring.show(index: ring.available &+ UInt16(size) &+ 1)
    case .back: return ring.show(index: ring.available &- 1)
    case .indirect: forged.flags |= VirtqueueDescriptor.flagIndirect
    case .direction: forged.flags ^= VirtqueueDescriptor.flagWrite
    case .laterDirection:
      forged = chained()
      var second = honest
      second.flags ^= VirtqueueDescriptor.flagWrite
      ring.describe(Int(following), second)
    case .twice:
      ring.describe(index, honest)
      ring.offer(UInt16(index))
    case .flags:
      forged.flags |= 0xFFF8
      ring.ask(flags: .max, usedEvent: ring.available &+ 0x4000)
    case .used:
      ring.forgeUsed(flags: .max, index: ring.used &+ 77, availEvent: ring.available &+ 0x4000)
    }
    ring.describe(index, forged)
    ring.offer(UInt16(index))
    ring.show()
  }
}
