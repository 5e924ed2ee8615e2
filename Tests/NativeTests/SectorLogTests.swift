import Testing

@testable import Campaign

/// The checker by itself: histories of a few events, right and wrong ones.
@Suite struct SectorLogTests {
  /// A log and the disk that the histories pretend.
  private final class History {
    var log: SectorLog
    let memory: UnsafeMutableRawPointer
    private let sectors: Int

    init(sectors: Int = 16, atomicSize: Int = 0, losesPower: Bool = false) {
      log = SectorLog(sectors: sectors, seed: 77, atomicSize: atomicSize, losesPower: losesPower)
      self.sectors = sectors
      memory = .allocate(byteCount: sectors * sectorSize, alignment: 8)
      memory.initializeMemory(as: UInt8.self, repeating: 0, count: sectors * sectorSize)
    }

    deinit { memory.deallocate() }

    func issue(_ first: Int, _ count: Int, _ kind: SectorLog.Kind = .data) -> UInt32 {
      log.issue(kind, first: first, count: count)
    }

    /// The disk has the write's sectors.
    func apply(_ number: UInt32, _ range: Range<Int>) {
      for sector in range {
        log.pattern.fill(memory + sector * sectorSize, sector: UInt64(sector), write: number)
      }
    }

    func zero(_ range: Range<Int>) {
      (memory + range.lowerBound * sectorSize).initializeMemory(
        as: UInt8.self, repeating: 0, count: range.count * sectorSize)
    }

    /// A write from beginning to end.
    @discardableResult
    func write(_ first: Int, _ count: Int, forced: Bool = false) -> UInt32 {
      let number = issue(first, count)
      apply(number, first..<first + count)
      log.acknowledge(number, forceUnitAccess: forced)
      return number
    }

    func flush() { log.acknowledgeFlush(issued: log.issueFlush()) }

    func read(_ range: Range<Int>? = nil) -> [Violation.Kind] {
      let range = range ?? 0..<sectors
      return read(range, issued: log.issueRead())
    }

    func read(_ range: Range<Int>, issued: UInt64) -> [Violation.Kind] {
      let before = log.violations.count
      log.check(
        memory + range.lowerBound * sectorSize, issued: issued, first: range.lowerBound, count: range.count)
      return log.violations.dropFirst(before).map(\.kind)
    }
  }

  @Test func whatWasWrittenIsRight() {
    let history = History()
    #expect(history.read().isEmpty)
    history.write(0, 8)
    history.write(4, 8)
    #expect(history.read().isEmpty)
    #expect(history.log.sectorsChecked == 32)
  }

  @Test func aDroppedWriteIsFound() {
    let history = History()
    history.write(0, 8)
    let lost = history.issue(2, 1)
    history.log.acknowledge(lost)
    #expect(history.read() == [.stale])
    #expect(history.log.violations[0].sector == 2)
    #expect(history.log.violations[0].found.contains("write 1 "))
    #expect(history.log.violations[0].expected.count == 1)
    #expect(history.log.violations[0].expected[0].contains("write 2 "))
  }

  @Test func zeroesThatNobodyWroteAreFound() {
    let history = History()
    history.write(0, 8)
    history.zero(3..<4)
    #expect(history.read() == [.stale])
  }

  @Test func writeZeroesMakesZeroes() {
    let history = History()
    history.write(0, 8)
    let zeroes = history.issue(0, 4, .zeroes)
    history.log.acknowledge(zeroes)
    #expect(history.read() == [.stale, .stale, .stale, .stale])
    history.zero(0..<4)
    #expect(history.read().isEmpty)
  }

  @Test func aTrimLeavesZeroesOrWhatWasThere() {
    let history = History()
    history.write(0, 8)
    let trim = history.issue(0, 8, .trim)
    history.log.acknowledge(trim)
    #expect(history.read().isEmpty)
    history.zero(0..<5)
    #expect(history.read().isEmpty)
    history.write(0, 8)
    history.zero(0..<1)
    #expect(history.read() == [.stale])
  }

  @Test func aConcurrentWriteMayBeSeenOrNot() {
    let history = History()
    let old = history.write(0, 1)
    let new = history.issue(0, 1)
    #expect(history.read(0..<1).isEmpty)
    history.apply(new, 0..<1)
    #expect(history.read(0..<1).isEmpty)
    // A read that began before the answer may be from before, one that begins after may not.
    let early = history.log.issueRead()
    history.log.acknowledge(new)
    history.apply(old, 0..<1)
    #expect(history.read(0..<1, issued: early).isEmpty)
    #expect(history.read(0..<1) == [.stale])
  }

  @Test func ofTwoConcurrentWritesEitherIsRightButNotBothInTurn() {
    let history = History()
    let first = history.issue(0, 1)
    let second = history.issue(0, 1)
    history.log.acknowledge(second)
    history.log.acknowledge(first)
    history.apply(first, 0..<1)
    #expect(history.read(0..<1).isEmpty)
    history.apply(second, 0..<1)
    #expect(history.read(0..<1) == [.stale])
  }

  @Test func anAbandonedWriteHappenedOrNot() {
    let history = History()
    let old = history.write(0, 2)
    let new = history.issue(0, 2)
    history.log.abandon(new)
    history.apply(new, 0..<1)
    #expect(history.read(0..<2).isEmpty)
    // Which of them it was is known now.
    history.apply(old, 0..<1)
    #expect(history.read(0..<2) == [.stale])
  }

  /// A command that is executed late, after a newer write to the same place.
  @Test func anAbandonedWriteMustNotComeLater() {
    let history = History()
    history.write(0, 2)
    let late = history.issue(0, 2)
    history.log.abandon(late)
    history.write(0, 2)
    #expect(history.read(0..<2).isEmpty)
    history.apply(late, 0..<2)
    #expect(history.read(0..<2) == [.stale, .stale])
  }

  @Test func aTornSectorIsFound() {
    let history = History()
    let old = history.write(0, 1)
    let new = history.issue(0, 1)
    history.apply(new, 0..<1)
    let half = UnsafeMutableRawPointer.allocate(byteCount: sectorSize, alignment: 8)
    defer { half.deallocate() }
    history.log.pattern.fill(half, sector: 0, write: old)
    (history.memory + 256).copyMemory(from: half + 256, byteCount: 256)
    // Not even while the write is in flight.
    #expect(history.read(0..<1) == [.tornSector])
  }

  @Test func aBitIsFound() {
    let history = History()
    history.write(0, 4)
    history.memory.storeBytes(
      of: history.memory.load(fromByteOffset: 1000, as: UInt8.self) ^ 4, toByteOffset: 1000, as: UInt8.self)
    #expect(history.read() == [.tornSector])
    history.write(0, 4)
    history.memory.storeBytes(of: 1, toByteOffset: 0, as: UInt8.self)
    #expect(history.read() == [.foreign])
  }

  @Test func aMisplacedSectorIsFound() {
    let history = History()
    let number = history.write(0, 4)
    history.log.pattern.fill(history.memory + 2 * sectorSize, sector: 3, write: number)
    #expect(history.read() == [.misplaced])
  }

  @Test func withinTheAtomicUnitAWriteIsWholeOrNotAtAll() {
    for (atomicSize, expected) in [(4096, [Violation.Kind.tornWrite]), (2048, []), (0, [])] {
      let history = History(atomicSize: atomicSize)
      history.write(0, 16)
      let number = history.issue(4, 8)
      history.log.abandon(number)
      history.apply(number, 4..<9)
      #expect(history.read() == expected, "atomic size \(atomicSize)")
    }
  }

  @Test func aLaterWriteOverAPartIsNotTearing() {
    let history = History(atomicSize: 4096)
    history.write(0, 16)
    history.write(4, 8)
    history.write(6, 1)
    let beside = history.issue(8, 8)
    history.apply(beside, 8..<16)
    #expect(history.read().isEmpty)
  }

  // MARK: Power loss

  @Test func unflushedWritesMayBeLost() {
    let history = History(losesPower: true)
    let old = history.write(0, 4)
    history.flush()
    history.write(0, 4)
    history.apply(old, 0..<2)
    #expect(history.read(0..<4).isEmpty)
    history.zero(0..<1)
    #expect(history.read(0..<4) == [.stale])
  }

  @Test func flushedWritesMayNotBeLost() {
    let history = History(losesPower: true)
    let old = history.write(0, 4)
    history.write(0, 4)
    history.flush()
    history.apply(old, 0..<1)
    #expect(history.read(0..<4) == [.stale])
  }

  @Test func aFailedFlushConfessesALoss() {
    let history = History(losesPower: true)
    let old = history.write(0, 1)
    history.flush()
    history.write(0, 1)
    history.log.failFlush()
    history.flush()
    history.apply(old, 0..<1)
    #expect(history.read(0..<1).isEmpty)
  }

  @Test func forcedWritesMayNotBeLost() {
    let history = History(losesPower: true)
    let old = history.write(0, 4)
    history.write(0, 4, forced: true)
    history.apply(old, 0..<1)
    #expect(history.read(0..<4) == [.stale])
  }

  @Test func aFlushCoversWhatWasAnsweredBeforeItBegan() {
    let history = History(losesPower: true)
    let old = history.write(0, 1)
    history.flush()
    let new = history.issue(0, 1)
    let flush = history.log.issueFlush()
    history.log.acknowledge(new)
    history.log.acknowledgeFlush(issued: flush)
    history.apply(old, 0..<1)
    #expect(history.read(0..<1).isEmpty)
    history.flush()
    #expect(history.read(0..<1) == [.stale])
  }

  @Test func withoutPowerLossNothingMayBeLost() {
    let history = History()
    let old = history.write(0, 1)
    history.flush()
    history.write(0, 1)
    history.apply(old, 0..<1)
    #expect(history.read(0..<1) == [.stale])
  }
}
