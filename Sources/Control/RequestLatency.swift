import Protocol

/// How long requests of one kind took since the broker began, from the moment that all of a request was there to its answer
/// being ready.
public struct RequestLatency: Codable, Sendable, Equatable {
  /// `read`, `write` (also of zeroes), `flush` or `discard`.
  public var operation: String
  /// Requests in each bucket: in bucket k those that took at most 2^k microseconds and not less than a lower one holds; in
  /// the last one those that took longer than all bounds.
  public var counts: [Int]
  /// Nanoseconds of all of them together.
  public var total: Int

  public init(operation: String, counts: [Int], total: Int) {
    self.operation = operation
    self.counts = counts
    self.total = total
  }

  /// All requests.
  public var count: Int { counts.reduce(0, +) }

  /// The bounds of the buckets but the last one, in microseconds.
  public static let bounds = (0..<LatencyBuckets.bounded).compactMap { LatencyBuckets.bound(of: $0) }

  /// What came on top since `earlier`; nil where it was not counted on from there, as with another broker.
  public func since(_ earlier: RequestLatency) -> RequestLatency? {
    guard operation == earlier.operation, counts.count == earlier.counts.count, total >= earlier.total,
      zip(counts, earlier.counts).allSatisfy({ $0 >= $1 })
    else { return nil }
    return RequestLatency(
      operation: operation, counts: zip(counts, earlier.counts).map { $0 - $1 }, total: total - earlier.total)
  }

  /// Both together, under the name of the first.
  public func adding(_ other: RequestLatency) -> RequestLatency {
    precondition(counts.count == other.counts.count, "histograms of one kind of buckets")
    return RequestLatency(
      operation: operation, counts: zip(counts, other.counts).map { $0 + $1 }, total: total + other.total)
  }

  /// The mean in microseconds; nil without requests.
  public var mean: Double? { count == 0 ? nil : Double(total) / 1000 / Double(count) }

  /// An estimate of a quantile in microseconds, as Prometheus's `histogram_quantile` makes it: within its bucket a request
  /// may be anywhere with equal probability. Behind the last bound it is that bound. Nil without requests.
  /// - Parameter share: 0.99 for the 99th percentile.
  public func quantile(_ share: Double) -> Double? {
    let count = count
    guard count > 0 else { return nil }
    let rank = min(1, max(0, share)) * Double(count)
    var below = 0
    for (bucket, bound) in Self.bounds.enumerated() where bucket < counts.count {
      let here = counts[bucket]
      if here > 0, Double(below + here) >= rank {
        let floor = bucket == 0 ? 0 : Double(Self.bounds[bucket - 1])
        return floor + (Double(bound) - floor) * max(0, rank - Double(below)) / Double(here)
      }
      below += here
    }
    return Self.bounds.last.map(Double.init)
  }
}
