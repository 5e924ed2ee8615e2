import Platform
import Testing

@testable import Virtqueue

@Suite struct RingTests {
  /// virtio 1.2 section 2.7: sizes 16n, 6+2n, 6+8n with alignments 16, 2, 4.
  @Test(arguments: [1, 2, 8, 256, 512, 32768])
  func layoutFollowsTheSpecification(size: Int) {
    let layout = VirtqueueLayout(size: size)
    #expect(layout.availOffset == 16 * size)
    #expect(layout.usedEventOffset == layout.availOffset + 4 + 2 * size)
    #expect(layout.usedOffset % 4 == 0)
    #expect(layout.usedOffset >= layout.availOffset + 6 + 2 * size)
    #expect(layout.availEventOffset == layout.usedOffset + 4 + 8 * size)
    #expect(layout.byteCount == layout.usedOffset + 6 + 8 * size)
  }

  @Test func slotsDoNotOverlapTheQueueOrTheNextOne() {
    let layout = SlottedQueueLayout(queueSize: 512, slots: 128, slotSize: 64)
    #expect(layout.slotsOffset >= layout.queue.byteCount)
    #expect(layout.stride >= layout.slotsOffset + 128 * 64)
    #expect(layout.stride % 4096 == 0)
  }

  @Test func chainsArriveInOrderAndComeBack() throws {
    let pair = QueuePair(size: 8)
    pair.guest.setDescriptor(0, VirtqueueDescriptor(address: 0x1000, length: 16, flags: 1, next: 1))
    pair.guest.setDescriptor(1, VirtqueueDescriptor(address: 0x2000, length: 512, flags: 2))
    pair.guest.submit(head: 0)
    #expect(try pair.nextAvailable() == nil, "not visible before publish")
    #expect(pair.publishAvailable())
    let head = try #require(try pair.nextAvailable())
    let chain = UnsafeMutableBufferPointer<VirtqueueDescriptor>.allocate(capacity: 4)
    defer { chain.deallocate() }
    #expect(try pair.copyChain(from: head, into: chain) == 2)
    #expect(chain[1] == VirtqueueDescriptor(address: 0x2000, length: 512, flags: 2))
    pair.device.complete(head: head, length: 512)
    #expect(try pair.nextUsed() == nil, "not visible before publish")
    #expect(pair.publishUsed())
    #expect(try pair.nextUsed() == UsedElement(id: 0, length: 512))
    #expect(try pair.nextUsed() == nil)
    #expect(pair.inFlight == 0 && pair.taken == 0)
  }

  /// The 16-bit indices wrap many times; no chain is lost, repeated or reordered, whatever the batch sizes.
  @Test func indicesWrap() throws {
    let pair = QueuePair(size: 4)
    var random = SeededGenerator(seed: 7)
    var sent = 0
    var received = 0
    var expected: [UInt32] = []
    while received < 200_000 {
      for _ in 0..<Int.random(in: 0...(4 - pair.inFlight), using: &random) {
        pair.guest.submit(head: sent & 3)
        expected.append(UInt32(sent & 3))
        sent += 1
      }
      _ = pair.publishAvailable()
      while let head = try pair.nextAvailable() { pair.device.complete(head: head, length: UInt32(head)) }
      _ = pair.publishUsed()
      var index = 0
      while let used = try pair.nextUsed() {
        #expect(used.id == expected[index])
        index += 1
        received += 1
      }
      expected.removeFirst(index)
    }
    #expect(sent > 3 * 65536)
  }

  @Test func noKickWhileTheOtherSideIsAwake() throws {
    let pair = QueuePair(size: 8)
    pair.device.disableKicks()
    pair.guest.submit(head: 0)
    #expect(!pair.publishAvailable(), "kicks are off")
    #expect(pair.enableKicks(), "armed late: the chain that came meanwhile is reported")
    _ = try pair.nextAvailable()
    #expect(!pair.enableKicks())
    pair.guest.submit(head: 1)
    #expect(pair.publishAvailable(), "armed: kick")
  }

  @Test func noCallWhileTheGuestIsAwake() throws {
    let pair = QueuePair(size: 8)
    pair.guest.submit(head: 0)
    pair.guest.submit(head: 1)
    _ = pair.publishAvailable()
    let first = try #require(try pair.nextAvailable())
    let second = try #require(try pair.nextAvailable())
    pair.guest.disableCalls()
    pair.device.complete(head: first, length: 0)
    #expect(!pair.publishUsed())
    #expect(pair.enableCalls())
    _ = try pair.nextUsed()
    #expect(!pair.enableCalls())
    pair.device.complete(head: second, length: 0)
    #expect(pair.publishUsed())
  }

  /// virtio 1.2 section 2.7.7.2: an event is needed exactly when the asked-for entry is among the new ones.
  @Test func eventIndexArithmetic() {
    for start: UInt16 in [0, 1, 0x7fff, 0xfff0, 0xffff] {
      for count: UInt16 in 1...20 {
        for event: UInt16 in 0...40 {
          let asked = start &+ event &- 10
          let among = (0..<count).contains { start &+ $0 == asked }
          #expect(VirtqueueMemory.needsEvent(asked, new: start &+ count, old: start) == among)
        }
      }
    }
  }
}
