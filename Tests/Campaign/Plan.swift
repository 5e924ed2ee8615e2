import Platform

/// The operations of a campaign, one after the other, as its seed has them.
public struct Plan: Sendable {
  private var generator: SeededGenerator
  private let sectors: Int
  private let blockSectors: Int
  private let kinds: Set<Operation.Kind>
  private let canForceUnitAccess: Bool
  private let largest: Int

  /// - Parameters:
  ///   - sectors: the range, from the beginning of the disk.
  ///   - blockSize: bytes.
  ///   - largest: bytes of the largest operation.
  public init(
    seed: UInt64, sectors: Int, blockSize: Int, kinds: Set<Operation.Kind>, canForceUnitAccess: Bool,
    largest: Int = 128 << 10
  ) {
    generator = SeededGenerator(seed: seed)
    self.sectors = sectors
    blockSectors = blockSize / sectorSize
    self.kinds = kinds
    self.canForceUnitAccess = canForceUnitAccess
    self.largest = largest / sectorSize
  }

  /// 35 % reads, 50 % writes (one in six with force unit access), 7 % flushes, 4 % each trims and write-zeroes.
  public mutating func next() -> Operation {
    let dice = generator.below(100)
    let length = nextLength()
    // A quarter goes to a small part, so that operations meet each other.
    let range = generator.below(4) == 0 ? min(sectors, 512) : sectors
    // Powers of two are aligned to themselves every other time, everything else to blocks.
    let unit = generator.below(2) == 0 && length & (length - 1) == 0 ? length : blockSectors
    let first = generator.below((range - length) / unit + 1) * unit
    let forced = generator.below(6) == 0
    var kind: Operation.Kind =
      switch dice {
      case ..<35: .read
      case ..<85: .write
      case ..<92: .flush
      case ..<96: .writeZeroes
      default: .trim
      }
    if !kinds.contains(kind) { kind = kinds.contains(.write) ? .write : .read }
    switch kind {
    case .flush: return Operation(.flush)
    case .write, .writeZeroes:
      return Operation(kind, first: first, count: length, forceUnitAccess: forced && canForceUnitAccess)
    case .read, .trim: return Operation(kind, first: first, count: length)
    }
  }

  /// 10 % a few blocks, 60 % up to 32 KiB, 30 % up to the largest.
  private mutating func nextLength() -> Int {
    let page = max(8, blockSectors)
    let most = min(largest, sectors)
    let length =
      switch generator.below(10) {
      case 0: blockSectors * (1 + generator.below(8))
      case ..<7: page * (1 + generator.below(8))
      default: page << generator.below(6)
      }
    return min(length, most / blockSectors * blockSectors)
  }
}
