import DriverKit
import Testing

@testable import NVMe

/// Namespaces whose blocks are not what Identify says.
@Suite struct BlockSizeTests {
  private func failure(
    blockShift: Int, claiming claimed: Int, _ adjust: (FakeController) -> Void = { _ in }
  ) throws -> DriverFailure? {
    let bench = try Bench(blocks: 1 << (21 - blockShift), blockShift: blockShift)
    bench.fake.claimedBlockShift = claimed
    adjust(bench.fake)
    do { try bench.start() } catch { return error as? DriverFailure }
    return nil
  }

  @Test(arguments: [9, 12]) func theTruthIsAccepted(blockShift: Int) throws {
    #expect(try failure(blockShift: blockShift, claiming: blockShift) == nil)
    // Whatever the block holds.
    for byte: UInt8 in [0x5A, 0xA5, 0xFF] {
      let found = try failure(blockShift: blockShift, claiming: blockShift) {
        $0.disk.replaceSubrange($0.disk.startIndex..., with: repeatElement(byte, count: $0.disk.count))
      }
      #expect(found == nil)
    }
  }

  @Test(arguments: [(9, 12), (12, 9), (9, 16), (9, 10)])
  func anotherSizeIsRefused(blockShift: Int, claimed: Int) throws {
    let found = try #require(try failure(blockShift: blockShift, claiming: claimed) { $0.claimedBlocks = 16 })
    #expect(found.code == .deviceError)
    #expect("\(found)".contains("\(1 << blockShift) bytes, not the \(1 << claimed)"))
  }

  @Test func moreBlocksThanThereAreAreRefused() throws {
    let found = try #require(try failure(blockShift: 9, claiming: 9) { $0.claimedBlocks = 4097 })
    #expect(found.code == .deviceError)
    #expect("\(found)".contains("no block 4096"))
  }

  /// A bad block proves nothing.
  @Test func aBlockThatCannotBeReadIsNoReason() throws {
    #expect(try failure(blockShift: 9, claiming: 12) { $0.statuses = [0x281] } == nil)
  }
}
