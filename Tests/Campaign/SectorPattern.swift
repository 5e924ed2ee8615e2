import Glibc

/// Bytes of a sector, the smallest thing that has a story.
public let sectorSize = 512

/// What every sector is filled with, so that a read tells which write it came from.
///
/// 64 little-endian words: the campaign's seed, the sector's number, the write's number, and then words that follow from
/// those three. A sector put together from two writes is found at any of its words.
public struct SectorPattern: Sendable {
  public let seed: UInt64

  public init(seed: UInt64) { self.seed = seed }

  /// What a sector turned out to hold.
  public enum Content: Equatable, Sendable {
    case zero
    /// Of a write, whole.
    case write(UInt32)
    /// Begins like this write, and goes on otherwise.
    case torn(UInt32)
    /// Of a write to another sector.
    case misplaced(UInt32, from: UInt64)
    /// Not of this campaign.
    case foreign
  }

  @inline(__always)
  private func start(_ sector: UInt64, _ write: UInt32) -> UInt64 {
    (seed ^ sector &* 0x9E37_79B9_7F4A_7C15) &+ UInt64(write) &* 0xD134_2543_DE82_EF95 | 1
  }

  @inline(__always)
  private static func step(_ word: UInt64) -> UInt64 { word &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407 }

  /// - Parameter memory: 512 bytes, aligned to words.
  public func fill(_ memory: UnsafeMutableRawPointer, sector: UInt64, write: UInt32) {
    let words = memory.assumingMemoryBound(to: UInt64.self)
    words[0] = seed
    words[1] = sector
    words[2] = UInt64(write)
    var word = start(sector, write)
    for index in 3..<64 {
      word = Self.step(word)
      words[index] = word
    }
  }

  /// - Parameter memory: 512 bytes, aligned to words.
  public func content(of memory: UnsafeRawPointer, sector: UInt64) -> Content {
    let words = memory.assumingMemoryBound(to: UInt64.self)
    guard words[0] == seed, words[2] <= UInt64(UInt32.max) else {
      for index in 0..<64 where words[index] != 0 { return .foreign }
      return .zero
    }
    let write = UInt32(words[2])
    var word = start(words[1], write)
    for index in 3..<64 {
      word = Self.step(word)
      if words[index] != word { return .torn(write) }
    }
    return words[1] == sector ? .write(write) : .misplaced(write, from: words[1])
  }
}
