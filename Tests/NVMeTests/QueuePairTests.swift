import DriverKit
import DriverRig
import Testing

@testable import NVMe

/// Ring mechanics over plain memory, the registers too.
@Suite struct QueuePairTests {
  private final class Rig {
    let memory = FakeMemory(address: 0x1000_0000, length: 1 << 16)
    let registers = FakeMemory(address: 0, length: 0x2000)
    lazy var bar = Bar(windows: [Bar.Window(offset: 0, length: 0x2000, base: registers.pointer)])
    lazy var arena = Arena(memory.dma)

    func doorbell(_ offset: Int) -> UInt32 { registers.pointer.load(fromByteOffset: offset, as: UInt32.self) }

    /// What a controller would write as entry `index` of the completion queue.
    func complete(_ base: UInt64, _ index: Int, id: UInt16, phase: UInt16) {
      let place = memory.find(base + UInt64(index * 16), 16)!
      place.storeBytes(of: id, toByteOffset: 12, as: UInt16.self)
      place.storeBytes(of: phase, toByteOffset: 14, as: UInt16.self)
    }
  }

  @Test func phaseTagTellsNewFromOld() throws {
    let rig = Rig()
    var pair = try QueuePair(id: 2, entries: 4, arena: &rig.arena, bar: rig.bar, doorbellStride: 4)
    var expected: UInt16 = 0
    #expect(pair.pop() == nil)
    for pass in 0..<5 {
      let phase: UInt16 = pass % 2 == 0 ? 1 : 0
      for index in 0..<4 {
        #expect(pair.pop() == nil, "pass \(pass) entry \(index)")
        rig.complete(pair.completionAddress, index, id: expected, phase: phase)
        #expect(pair.pop()?.commandID == expected)
        expected += 1
        pair.acknowledge()
        #expect(rig.doorbell(0x1014) == UInt32((index + 1) % 4))
      }
    }
  }

  @Test func doorbellsAreRungOnceForMany() throws {
    let rig = Rig()
    var pair = try QueuePair(id: 1, entries: 4, arena: &rig.arena, bar: rig.bar, doorbellStride: 4)
    for id in 1...3 {
      var entry = SubmissionEntry()
      entry.commandID = UInt16(id)
      pair.push(entry)
    }
    #expect(rig.doorbell(0x1008) == 0)
    pair.ring()
    #expect(rig.doorbell(0x1008) == 3)
    pair.push(SubmissionEntry())
    pair.ring()
    #expect(rig.doorbell(0x1008) == 0)
    let place = try #require(rig.memory.find(pair.submissionAddress, 256))
    #expect((0..<4).map { place.load(fromByteOffset: $0 * 64 + 2, as: UInt16.self) } == [1, 2, 3, 0])
  }

  @Test func beginsAnewAfterReset() throws {
    let rig = Rig()
    var pair = try QueuePair(id: 1, entries: 4, arena: &rig.arena, bar: rig.bar, doorbellStride: 4)
    for index in 0..<4 { rig.complete(pair.completionAddress, index, id: 1, phase: 1) }
    while pair.pop() != nil {}
    pair.reset()
    #expect(pair.pop() == nil)
    rig.complete(pair.completionAddress, 0, id: 9, phase: 1)
    #expect(pair.pop()?.commandID == 9)
  }

  @Test func refusesDoorbellsOutsideTheGrantedRange() {
    let rig = Rig()
    let bar = Bar(windows: [Bar.Window(offset: 0, length: 0x1000, base: rig.registers.pointer)])
    #expect { _ = try makePair(rig, bar) } throws: { ($0 as? DriverFailure)?.code == .resources }
  }

  private func makePair(_ rig: Rig, _ bar: Bar) throws -> Int {
    let pair = try QueuePair(id: 1, entries: 4, arena: &rig.arena, bar: bar, doorbellStride: 4)
    return pair.entries
  }
}
