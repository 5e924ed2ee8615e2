import Platform
import Testing

@testable import Virtqueue

/// The other side writes whatever it likes. Nothing may be read outside the queue, looped over for ever, or believed.
@Suite struct HostilePeerTests {
  @Test func usedIndexAheadOfWhatIsOutstanding() throws {
    let pair = QueuePair(size: 8)
    pair.guest.submit(head: 3)
    _ = pair.publishAvailable()
    pair.usedIndex = 2
    #expect(throws: VirtqueueError.indexJump(distance: 2)) { try pair.nextUsed() }
    pair.usedIndex = 0xffff
    #expect(throws: VirtqueueError.indexJump(distance: 0xffff)) { try pair.nextUsed() }
  }

  @Test func usedIndexWithNothingOutstanding() {
    let pair = QueuePair(size: 8)
    pair.usedIndex = 1
    #expect(throws: VirtqueueError.indexJump(distance: 1)) { try pair.nextUsed() }
  }

  @Test(arguments: [8, 9, 0x8000_0000, UInt32.max])
  func usedIdOutsideTheTable(id: UInt32) throws {
    let pair = QueuePair(size: 8)
    pair.guest.submit(head: 0)
    pair.guest.submit(head: 1)
    _ = pair.publishAvailable()
    pair.setUsed(0, id: id, length: 0)
    pair.setUsed(1, id: 1, length: 5)
    pair.usedIndex = 2
    #expect(throws: VirtqueueError.indexOutOfRange(id)) { try pair.nextUsed() }
    #expect(try pair.nextUsed() == UsedElement(id: 1, length: 5), "the next element is not lost")
  }

  /// An index that goes back after it was read does not make elements come twice.
  @Test func usedIndexGoesBack() throws {
    let pair = QueuePair(size: 8)
    for head in 0..<3 { pair.guest.submit(head: head) }
    _ = pair.publishAvailable()
    for position in 0..<3 { pair.setUsed(position, id: UInt32(position), length: 0) }
    pair.usedIndex = 3
    #expect(try pair.nextUsed()?.id == 0)
    pair.usedIndex = 0
    #expect(try pair.nextUsed()?.id == 1)
    #expect(try pair.nextUsed()?.id == 2)
    #expect(throws: VirtqueueError.indexJump(distance: 0xfffd)) { try pair.nextUsed() }
  }

  @Test func availableIndexRunsAhead() {
    let pair = QueuePair(size: 8)
    pair.availIndex = 9
    #expect(throws: VirtqueueError.indexJump(distance: 9)) { try pair.nextAvailable() }
  }

  @Test func availableIndexBeyondWhatIsStillOut() throws {
    let pair = QueuePair(size: 4)
    pair.availIndex = 4
    for _ in 0..<4 { _ = try pair.nextAvailable() }
    pair.availIndex = 5
    #expect(throws: VirtqueueError.indexJump(distance: 1)) { try pair.nextAvailable() }
  }

  @Test(arguments: [8, 0x8000, 0xffff] as [UInt16])
  func availableHeadOutsideTheTable(head: UInt16) throws {
    let pair = QueuePair(size: 8)
    pair.setAvail(0, head: head)
    pair.availIndex = 1
    #expect(throws: VirtqueueError.indexOutOfRange(UInt32(head))) { try pair.nextAvailable() }
    #expect(try pair.nextAvailable() == nil)
  }

  @Test func chainsThatNeverEnd() {
    let pair = QueuePair(size: 8)
    let chain = UnsafeMutableBufferPointer<VirtqueueDescriptor>.allocate(capacity: 64)
    defer { chain.deallocate() }
    for index in 0..<8 {
      pair.guest.setDescriptor(
        index, VirtqueueDescriptor(address: 0, length: 1, flags: 1, next: UInt16((index + 1) % 8)))
    }
    #expect(throws: VirtqueueError.chainTooLong) { try pair.copyChain(from: 0, into: chain) }
    pair.guest.setDescriptor(0, VirtqueueDescriptor(address: 0, length: 1, flags: 1, next: 0))
    #expect(throws: VirtqueueError.chainTooLong) { try pair.copyChain(from: 0, into: chain) }
  }

  @Test func nextOutsideTheTableAndIndirect() {
    let pair = QueuePair(size: 8)
    let chain = UnsafeMutableBufferPointer<VirtqueueDescriptor>.allocate(capacity: 8)
    defer { chain.deallocate() }
    pair.guest.setDescriptor(0, VirtqueueDescriptor(address: 0, length: 1, flags: 1, next: 8))
    #expect(throws: VirtqueueError.indexOutOfRange(8)) { try pair.copyChain(from: 0, into: chain) }
    pair.guest.setDescriptor(0, VirtqueueDescriptor(address: 0, length: 16, flags: 4))
    #expect(throws: VirtqueueError.indirect) { try pair.copyChain(from: 0, into: chain) }
  }

  /// A peer that fills the whole memory with noise between any two steps: every call returns or throws, and the
  /// counts stay within what was really handed over.
  @Test(arguments: 1...8)
  func noise(seed: Int) {
    let pair = QueuePair(size: 16)
    var random = SeededGenerator(seed: UInt64(seed))
    let chain = UnsafeMutableBufferPointer<VirtqueueDescriptor>.allocate(capacity: 16)
    defer { chain.deallocate() }
    var completed = 0
    var submitted = 0
    for _ in 0..<50_000 {
      let offset = Int.random(in: 0..<(pair.layout.byteCount / 2), using: &random) * 2
      pair.memory.storeBytes(
        of: UInt16.random(in: 0...UInt16.max, using: &random), toByteOffset: offset, as: UInt16.self)
      if pair.inFlight < 16 {
        pair.guest.submit(head: Int.random(in: 0..<16, using: &random))
        submitted += 1
      }
      _ = pair.publishAvailable()
      if let used = try? pair.nextUsed() {
        #expect(used.id < 16)
        completed += 1
      }
      _ = pair.enableCalls()
      if let head = try? pair.nextAvailable() {
        #expect(head < 16)
        if let count = try? pair.copyChain(from: head, into: chain) { #expect((1...16).contains(count)) }
        pair.device.complete(head: head, length: 0)
        _ = pair.publishUsed()
      }
      #expect((0...16).contains(pair.inFlight) && (0...16).contains(pair.taken))
    }
    #expect(completed <= submitted)
  }
}
