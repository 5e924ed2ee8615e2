import CBulkhead
import Platform

/// What a power loss takes.
public enum PowerLoss: Sendable, Equatable {
  /// Every write that was acknowledged but not flushed.
  case everything
  /// Each unflushed write survives or is lost by chance, whole up to the atomic unit, torn beyond.
  case some(seed: UInt64)
}

/// What a power loss took, in logical blocks.
public struct PowerLossReport: Sendable, Equatable {
  public var lost = 0
  public var kept = 0

  public init(lost: Int = 0, kept: Int = 0) {
    self.lost = lost
    self.kept = kept
  }
}

/// The blocks of one namespace, with the volatile write cache in front of them.
///
/// Blocks are checked by the caller. `false` is an I/O error.
struct BlockStore: ~Copyable {
  let blockSize: Int
  let blocks: UInt64
  /// Blocks that are written whole or not at all when power fails (AWUPF + 1).
  let atomicBlocks: UInt64
  let isReadOnly: Bool
  let media: BlockMedia
  /// Nil: nothing is remembered, and nothing can be lost.
  private let journal: UnsafeMutablePointer<WriteJournal>?

  init(
    _ media: consuming BlockMedia, blockSize: Int, atomicBlocks: Int, journaled: Bool, isReadOnly: Bool
  ) throws(Failure) {
    self.blockSize = blockSize
    blocks = UInt64(media.size / blockSize)
    self.atomicBlocks = UInt64(atomicBlocks)
    self.isReadOnly = isReadOnly
    var place: UnsafeMutablePointer<WriteJournal>?
    if journaled, !isReadOnly {
      let made = try WriteJournal(size: media.size, blockSize: blockSize)
      place = .allocate(capacity: 1)
      place!.initialize(to: made)
    }
    journal = place
    self.media = media
  }

  deinit {
    journal?.deinitialize(count: 1)
    journal?.deallocate()
  }

  func read(_ first: UInt64, _ count: UInt64, into parts: UnsafePointer<bh_part>, _ partCount: Int) -> Bool {
    media.read(into: parts, partCount, at: Int(first) * blockSize, length: Int(count) * blockSize)
  }

  /// - Parameter durable: past the cache: force unit access, or the cache is off.
  mutating func write(
    _ first: UInt64, _ count: UInt64, from parts: UnsafePointer<bh_part>, _ partCount: Int, durable: Bool
  ) -> Bool {
    guard prepare(first, count, durable: durable) else { return false }
    guard media.write(from: parts, partCount, at: Int(first) * blockSize, length: Int(count) * blockSize) else {
      return false
    }
    return finish(first, count, durable: durable)
  }

  mutating func zero(_ first: UInt64, _ count: UInt64, punch: Bool, durable: Bool) -> Bool {
    guard prepare(first, count, durable: durable) else { return false }
    guard media.zero(at: Int(first) * blockSize, length: Int(count) * blockSize, punch: punch) else { return false }
    return finish(first, count, durable: durable)
  }

  mutating func flush() -> Bool {
    guard media.sync() else { return false }
    journal?.pointee.clear()
    return true
  }

  private mutating func prepare(_ first: UInt64, _ count: UInt64, durable: Bool) -> Bool {
    guard !durable, let journal else { return true }
    // A write beyond the atomic unit is torn at any block.
    let piece = count <= atomicBlocks ? count : 1
    if !journal.pointee.hasRoom(Int((count + piece - 1) / piece)) { guard flush() else { return false } }
    // A single command larger than the whole journal is written through.
    guard journal.pointee.hasRoom(Int((count + piece - 1) / piece)) else { return true }
    guard journal.pointee.save(first, count, from: media) else { return false }
    journal.pointee.append(first, count, piece: piece)
    return true
  }

  private mutating func finish(_ first: UInt64, _ count: UInt64, durable: Bool) -> Bool {
    guard durable else { return true }
    if let journal, !journal.pointee.isEmpty { for block in first..<first + count { journal.pointee.clean(block) } }
    return media.sync()
  }

  /// Takes unflushed writes back. Blocks that overlap in several writes share their fate, which is one of the outcomes
  /// that NVMe 1.4 section 6.4.2 permits.
  mutating func losePower(_ loss: PowerLoss) -> PowerLossReport {
    var report = PowerLossReport()
    guard let journal else { return report }
    var generator = SeededGenerator(seed: 0)
    if case .some(let seed) = loss { generator = SeededGenerator(seed: seed) }
    var order: [WriteJournal.Record] = []
    for index in 0..<journal.pointee.recordCount { order.append(journal.pointee.records[index]) }
    order.sort { $0.first < $1.first }
    var index = 0
    while index < order.count {
      var group = order[index]
      index += 1
      while index < order.count, order[index].first < group.end {
        group.end = max(group.end, order[index].end)
        index += 1
      }
      let survives = loss == .everything ? false : generator.next() & 1 == 0
      for block in group.first..<group.end where journal.pointee.isDirty(block) {
        if survives {
          report.kept += 1
        } else {
          let offset = Int(block) * blockSize
          _ = media.write(from: journal.pointee.shadow + offset, at: offset, length: blockSize)
          report.lost += 1
        }
      }
    }
    journal.pointee.clear()
    return report
  }

  /// A write that power loss interrupts: whole or not at all up to the atomic unit, any of its blocks beyond. Its
  /// completion never comes.
  mutating func tear(
    _ first: UInt64, _ count: UInt64, from bytes: UnsafeMutableRawPointer, _ generator: inout SeededGenerator
  ) {
    let piece = count <= atomicBlocks ? count : 1
    var block = first
    while block < first + count {
      if generator.next() & 1 == 0 {
        let length = Int(piece) * blockSize
        let offset = Int(block) * blockSize
        _ = media.write(from: bytes + Int(block - first) * blockSize, at: offset, length: length)
        if let journal { for done in block..<block + piece { journal.pointee.clean(done) } }
      }
      block += piece
    }
  }
}
