import CCounting
import Testing

@testable import VirtioNet

@Suite struct HotPathTests {
  #if DEBUG
    private static let isOptimized = false
  #else
    private static let isOptimized = true
  #endif

  /// Frames both ways, of all kinds that are not errors. What the fake device and the outlet allocate is not counted.
  private func allocations(rounds: Int) throws -> UInt64 {
    let bench = try Bench().start(mtu: 9000)
    counting_begin()
    counting_pause()
    bench.fake.isCounting = true
    for _ in 0..<rounds {
      for length in [60, 1514, 9014] {
        bench.fake.receive(Sample.frame(length), header: Sample.header(flags: 2))
        try bench.give(Sample.frame(length))
      }
      try bench.give(Sample.segment(20_000), header: Sample.header(kind: 1, size: 1448))
      try bench.run()
      _ = try bench.taken()
    }
    return counting_allocations()
  }

  @Test(.enabled(if: isOptimized)) func allocatesNothing() throws {
    let few = try allocations(rounds: 100)
    #expect(try allocations(rounds: 1000) <= few)
    #expect(few < 10)
  }
}
