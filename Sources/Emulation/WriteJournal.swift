import CBulkhead
import Glibc
import Platform

/// Remembers what the media held before the writes that are acknowledged but not flushed: the model of a volatile write
/// cache (NVMe 1.4 section 5.21.1.6).
///
/// The media always has the newest data, for speed. For each block that a power loss could take back, the shadow has the
/// contents that are durable. The shadow is as large as the namespace but takes room only where it is used.
struct WriteJournal: ~Copyable {
  /// Blocks of one write that survive or are lost together (NVMe 1.4 section 6.4).
  struct Record {
    var first: UInt64
    var end: UInt64
  }

  /// Unflushed writes at most; then the cache writes itself back, as a real one does.
  static let recordLimit = 65536

  let shadow: UnsafeMutableRawPointer
  private let size: Int
  private let blockSize: Int
  /// One bit a block: the shadow is what is durable, not the media.
  private let dirty: UnsafeMutablePointer<UInt64>
  private let dirtyWords: Int
  let records = UnsafeMutablePointer<Record>.allocate(capacity: recordLimit)
  private(set) var recordCount = 0

  /// - Throws: `emulated-memory`.
  init(size: Int, blockSize: Int) throws(Failure) {
    dirtyWords = (size / blockSize + 63) / 64
    guard let shadow = bh_image_memory(size), let bits = bh_image_memory(dirtyWords * 8) else {
      throw Failure("emulated-memory", "reserve \(size) bytes for the write journal", errno: ENOMEM)
    }
    self.shadow = shadow
    self.size = size
    self.blockSize = blockSize
    dirty = bits.bindMemory(to: UInt64.self, capacity: dirtyWords)
  }

  deinit {
    bh_image_free(shadow, size)
    bh_image_free(dirty, dirtyWords * 8)
    records.deallocate()
  }

  var isEmpty: Bool { recordCount == 0 }

  @inline(__always)
  func isDirty(_ block: UInt64) -> Bool { dirty[Int(block >> 6)] >> (block & 63) & 1 != 0 }

  func clean(_ block: UInt64) { dirty[Int(block >> 6)] &= ~(1 << (block & 63)) }

  /// Whether one more write of `pieces` records fits.
  func hasRoom(_ pieces: Int) -> Bool { recordCount + pieces <= Self.recordLimit }

  /// Saves what is durable of blocks that are about to be overwritten, then calls them dirty.
  mutating func save(_ first: UInt64, _ count: UInt64, from media: borrowing BlockMedia) -> Bool {
    var block = first
    let end = first + count
    while block < end {
      guard !isDirty(block) else {
        block += 1
        continue
      }
      var stop = block + 1
      while stop < end, !isDirty(stop) { stop += 1 }
      let offset = Int(block) * blockSize
      guard media.read(into: shadow + offset, at: offset, length: Int(stop - block) * blockSize) else { return false }
      for clean in block..<stop { dirty[Int(clean >> 6)] |= 1 << (clean & 63) }
      block = stop
    }
    return true
  }

  /// Adds the write to the record, in pieces of `piece` blocks.
  mutating func append(_ first: UInt64, _ count: UInt64, piece: UInt64) {
    var block = first
    while block < first + count {
      let end = min(first + count, block + piece)
      records[recordCount] = Record(first: block, end: end)
      recordCount += 1
      block = end
    }
  }

  /// Everything is durable.
  mutating func clear() {
    guard recordCount > 0 else { return }
    for index in 0..<recordCount {
      let record = records[index]
      for block in record.first..<record.end { clean(block) }
      let offset = Int(record.first) * blockSize
      // The shadow's pages go back once they are many; single ones are soon used again.
      let length = Int(record.end - record.first) * blockSize
      if length >= 1 << 20 { bh_image_forget(shadow + offset, length & ~(pageSize - 1)) }
    }
    recordCount = 0
  }
}
