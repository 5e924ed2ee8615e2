import Testing

@testable import NVMe

@Suite struct PRPListTests {
  private struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ state >> 29
    }
  }

  /// The pieces that a controller reads from PRP1, PRP2 and the list: NVMe 2.0 section 4.1.1.
  private func pieces(_ address: UInt64, _ length: UInt64) -> [(UInt64, UInt64)]? {
    let listAddress: UInt64 = 0x7000_0800
    let list = UnsafeMutablePointer<UInt64>.allocate(capacity: PRPList.capacity)
    defer { list.deallocate() }
    list.initialize(repeating: .max, count: PRPList.capacity)
    guard let prp = PRPList.describe(address: address, length: length, list: list, listAddress: listAddress) else {
      return nil
    }
    var pieces: [(UInt64, UInt64)] = []
    var left = length
    func add(_ address: UInt64) {
      let count = min(left, 4096 - address % 4096)
      pieces.append((address, count))
      left -= count
    }
    add(prp.prp1)
    if left > 4096 {
      #expect(prp.prp2 == listAddress)
      var index = 0
      while left > 0 {
        add(list[index])
        index += 1
      }
    } else if left > 0 {
      add(prp.prp2)
    } else {
      #expect(prp.prp2 == 0)
    }
    return pieces
  }

  private func check(_ address: UInt64, _ length: UInt64) throws {
    let pieces = try #require(self.pieces(address, length), "\(address) \(length)")
    var next = address
    for (index, piece) in pieces.enumerated() {
      #expect(piece.0 == next)
      if index > 0 { #expect(piece.0 % 4096 == 0) }
      next += piece.1
    }
    #expect(next == address + length)
  }

  @Test func coversExactlyTheRange() throws {
    var random = Random(state: 20_260_101)
    for _ in 0..<2000 {
      let address = 0x2000_0000 + UInt64.random(in: 0..<(1 << 28), using: &random) & ~3
      try check(address, UInt64.random(in: 1...2048, using: &random) * 512)
    }
  }

  @Test(arguments: [0, 4, 512, 2048, 4092].map(UInt64.init))
  func coversTheEdges(offset: UInt64) throws {
    for length in [1, 511, 512, 4096 - offset, 4097 - offset, 8192 - offset, 8193 - offset, PRPList.maximumTransfer] {
      try check(0x2000_0000 + offset, length)
    }
  }

  @Test func refusesWhatCannotBeDescribed() {
    #expect(pieces(0x2000_0001, 512) == nil)
    #expect(pieces(0x2000_0002, 512) == nil)
    #expect(pieces(0x2000_0000, 0) == nil)
    #expect(pieces(0x2000_0000, PRPList.maximumTransfer + 4096 + 1) == nil)
  }

  @Test func listsNeverCrossAPage() {
    #expect(PRPList.byteCount == 2048)
    #expect(4096 % PRPList.byteCount == 0)
  }
}
