import CCounting
import Testing

@testable import E1000E

@Suite struct HotPathTests {
  #if DEBUG
    private static let isOptimized = false
  #else
    private static let isOptimized = true
  #endif

  /// Frames both ways, of all kinds that are not errors. What the fake NIC and the outlet allocate is not counted.
  private func allocations(rounds: Int) throws -> UInt64 {
    let bench = try Bench().start(mtu: 9000)
    let (tcp, _, transport) = Sample.tcp(version: 4, payload: 20_000)
    counting_begin()
    counting_pause()
    bench.fake.isCounting = true
    for _ in 0..<rounds {
      for length in [60, 1514, 9014] {
        bench.fake.receive(Sample.frame(length), status: 0x60)
        try bench.give(Sample.frame(length))
      }
      try bench.give(tcp, header: Sample.header(start: transport, offset: 16, kind: 1, size: 1448))
      try bench.give(Array(tcp[..<1000]), header: Sample.header(start: transport, offset: 16))
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

  /// The counter counts: otherwise the test above could not fail.
  @Test func counterCounts() {
    counting_begin()
    for index in 0..<50 { consume([index]) }
    counting_pause()
    #expect(counting_allocations() >= 50)
  }

  @inline(never)
  @_optimize(none)
  private func consume(_ values: [Int]) {}
}
