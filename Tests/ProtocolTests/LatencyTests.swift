import Testing

@testable import Protocol

@Suite struct LatencyTests {
  static let histogram = LatencyHistogram(
    .discard, counts: (0..<LatencyBuckets.count).map { UInt64.max - UInt64($0) }, total: 1 << 63)

  @Test func boundsDoubleFromAMicrosecond() {
    #expect(LatencyBuckets.bound(of: 0) == 1)
    #expect(LatencyBuckets.bound(of: 10) == 1024)
    #expect(LatencyBuckets.bound(of: LatencyBuckets.bounded - 1) == 16_777_216)
    #expect(LatencyBuckets.bound(of: LatencyBuckets.bounded) == nil)
  }

  /// A bound belongs to its own bucket, one nanosecond more to the next.
  @Test func aRequestIsInTheLowestBucketThatHoldsIt() throws {
    for bucket in 0..<LatencyBuckets.bounded {
      let bound = Int64(try #require(LatencyBuckets.bound(of: bucket))) * 1000
      #expect(LatencyBuckets.bucket(of: bound) == bucket)
      #expect(LatencyBuckets.bucket(of: bound - 1) == (bucket == 0 ? 0 : bound - 1 <= bound / 2 ? bucket - 1 : bucket))
      #expect(LatencyBuckets.bucket(of: bound + 1) == bucket + 1)
    }
    #expect(LatencyBuckets.bucket(of: 0) == 0)
    #expect(LatencyBuckets.bucket(of: .min) == 0)
    #expect(LatencyBuckets.bucket(of: .max) == LatencyBuckets.bounded)
  }

  /// As a whole in one message, the numbers where they were.
  @Test func aHistogramIsCarriedWhole() throws {
    for kind in RequestKind.allCases {
      var histogram = Self.histogram
      histogram.kind = kind
      let bytes = Envelope(generation: 3, BrokerEvent.latency(histogram)).encoded()
      let back = try bytes.withUnsafeBytes { try Envelope<BrokerEvent>(decoding: $0) }
      #expect(back.message == .latency(histogram))
    }
  }

  @Test func anUnknownKindIsRefused() {
    var bytes = Envelope(generation: 0, BrokerEvent.latency(Self.histogram)).encoded()
    bytes[controlHeaderSize] = UInt8(RequestKind.allCases.count)
    #expect(throws: WireError.invalidValue("request kind")) {
      _ = try bytes.withUnsafeBytes { try Envelope<BrokerEvent>(decoding: $0) }
    }
  }

  /// Every counter has a place of its own on the wire.
  @Test func countersAreCarriedApart() throws {
    var counters = BrokerCounters()
    let before = Envelope(generation: 0, BrokerEvent.counters(counters)).encoded()
    counters.resets = 0x0102_0304_0506_0708
    counters.framesTaken = 0xFFFF
    counters.interrupts = 9
    let after = Envelope(generation: 0, BrokerEvent.counters(counters)).encoded()
    #expect(before != after)
    let back = try after.withUnsafeBytes { try Envelope<BrokerEvent>(decoding: $0) }
    #expect(back.message == .counters(counters))
  }
}
