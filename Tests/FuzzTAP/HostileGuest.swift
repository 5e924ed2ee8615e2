import CBulkhead
import Platform
import Protocol
import RingForgery
import Virtqueue

/// A driver that writes right and wrong things into its rings and its arena, as a seed says.
struct HostileGuest {
  let rings: GuardedMemory
  let arena: GuardedMemory
  let layout: VirtqueueLayout
  let stride: Int
  var generator: SeededGenerator
  /// Outbound and inbound.
  private(set) var queues: [RawRing] = []
  /// By queue: what is the other side's was overwritten.
  private(set) var isUsedForged = [false, false]
  private var turn = 0

  init(rings: GuardedMemory, arena: GuardedMemory, layout: VirtqueueLayout, stride: Int, seed: UInt64) {
    self.rings = rings
    self.arena = arena
    self.layout = layout
    self.stride = stride
    generator = SeededGenerator(seed: seed)
  }

  /// Fresh rings, as a new driver gets them.
  mutating func begin() {
    for queue in 0..<2 {
      (rings.base + queue * stride).initializeMemory(as: UInt8.self, repeating: 0, count: layout.byteCount)
    }
    queues = (0..<2).map { RawRing(memory: rings.base + $0 * stride, layout: layout) }
    isUsedForged = [false, false]
  }

  /// Does one thing.
  mutating func act() {
    turn &+= 1
    let queue = generator.below(2)
    switch generator.below(32) {
    case 0..<14: offerHonestly(queue)
    case 14..<19: offerHeader()
    case 19..<22: forge(queue)
    case 22..<26: offerGarbage(queue)
    case 26: scribble(queue)
    case 27: queues[queue].ask(flags: word(), usedEvent: word())
    case 28: scratchArena()
    case 29:
      // Heads in any order, some of them twice.
      for _ in 0..<generator.below(4) { queues[queue].offer(UInt16(generator.below(layout.size))) }
      queues[queue].show()
    default: queues[queue].show()
    }
  }

  private mutating func word() -> UInt16 { UInt16(truncatingIfNeeded: generator.next()) }

  private func flags(_ queue: Int) -> UInt16 { queue == 0 ? VirtqueueDescriptor.flagWrite : 0 }

  /// As many as there is room for, so that an honest guest does nothing wrong.
  private func hasRoom(_ queue: Int) -> Bool { queues[queue].available &- queues[queue].used < UInt16(layout.size) }

  /// A chain of one to four parts.
  private mutating func offerHonestly(_ queue: Int) {
    guard hasRoom(queue) else { return }
    let parts = 1 + generator.below(4)
    let first = generator.below(layout.size)
    for part in 0..<parts {
      let length = part == 0 ? 12 + generator.below(1600) : generator.below(2000)
      let address = AddressMap.arena + UInt64(generator.below(arena.count - length + 1))
      queues[queue].describe(
        first + part,
        VirtqueueDescriptor(
          address: address, length: UInt32(length),
          flags: flags(queue) | (part == parts - 1 ? 0 : VirtqueueDescriptor.flagNext),
          next: UInt16((first + part + 1) % layout.size)))
    }
    queues[queue].offer(UInt16(first))
    queues[queue].show()
  }

  private mutating func offerHeader() {
    guard hasRoom(1) else { return }
    let forgery = HeaderForgery.allCases[generator.below(HeaderForgery.allCases.count)]
    let length = min(forgery.length(turn: turn) ?? 12 + 14 + generator.below(1500), arena.count - 12)
    let offset = generator.below(arena.count - max(12, length) + 1)
    if length >= NetworkClass.headerSize {
      forgery.write(to: arena.base + offset, length: length - NetworkClass.headerSize, turn: turn)
    }
    let index = generator.below(layout.size)
    queues[1].describe(
      index, VirtqueueDescriptor(address: AddressMap.arena + UInt64(offset), length: UInt32(length)))
    queues[1].offer(UInt16(index))
    queues[1].show()
  }

  private mutating func forge(_ queue: Int) {
    let forgery = RingForgery.allCases[generator.below(RingForgery.allCases.count)]
    if forgery == .used { isUsedForged[queue] = true }
    let honest = VirtqueueDescriptor(
      address: AddressMap.arena + UInt64(generator.below(arena.count - 4096)),
      length: UInt32(16 + generator.below(4000)),
      flags: flags(queue))
    forgery.write(to: &queues[queue], honest, index: generator.below(layout.size), arena: UInt64(arena.count))
  }

  /// A descriptor whose fields are mostly at an edge.
  private mutating func offerGarbage(_ queue: Int) {
    let end = AddressMap.arena + UInt64(arena.count)
    let near = UInt64(generator.below(33)) &- 16
    let address: UInt64
    switch generator.below(8) {
    case 0: address = generator.next()
    case 1: address = AddressMap.arena &+ near
    case 2, 3: address = end &+ near
    case 4: address = near
    case 5: address = AddressMap.payload &+ near
    default: address = AddressMap.arena + UInt64(generator.below(arena.count))
    }
    let length: UInt32
    switch generator.below(8) {
    case 0: length = UInt32(truncatingIfNeeded: generator.next())
    case 1: length = .max - UInt32(generator.below(16))
    case 2: length = UInt32(generator.below(33))
    case 3: length = UInt32(truncatingIfNeeded: end &- address)
    case 4: length = UInt32(truncatingIfNeeded: end &- address &+ 1)
    default: length = UInt32(generator.below(4096))
    }
    let index = generator.below(layout.size)
    let mask: UInt16 = generator.below(4) == 0 ? .max : 3
    queues[queue].describe(
      index,
      VirtqueueDescriptor(
        address: address, length: length, flags: generator.below(2) == 0 ? flags(queue) : word() & mask,
        next: generator.below(8) == 0 ? word() : UInt16(generator.below(layout.size))))
    queues[queue].offer(UInt16(index))
    queues[queue].show()
  }

  private mutating func scribble(_ queue: Int) {
    isUsedForged[queue] = true
    for _ in 0...generator.below(8) {
      let value = generator.below(2) == 0 ? word() : UInt16(generator.below(layout.size + 1))
      queues[queue].scribble(Int(truncatingIfNeeded: generator.next() >> 1), value)
    }
  }

  private mutating func scratchArena() {
    for _ in 0..<16 {
      (arena.base + generator.below(arena.count)).storeBytes(
        of: UInt8(truncatingIfNeeded: generator.next()), as: UInt8.self)
    }
  }
}
