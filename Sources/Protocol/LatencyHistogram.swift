/// What clients ask of a block device, as far as latencies are told apart. The raw value is the place in a table.
public enum RequestKind: UInt8, CaseIterable, Sendable {
  case read = 0
  /// Of data, or of zeroes.
  case write
  case flush
  case discard

  /// The stable name, such as `read`.
  public var name: String {
    switch self {
    case .read: "read"
    case .write: "write"
    case .flush: "flush"
    case .discard: "discard"
    }
  }
}

/// How many requests took how long: buckets of fixed bounds, which double from one microsecond to 16.8 seconds.
///
/// The bounds are part of the wire form, of `io.bulkhead` and of the metrics: histograms can be added and subtracted.
public enum LatencyBuckets {
  /// Buckets that have an upper bound.
  public static let bounded = 25
  /// With the last one, of everything that took longer.
  public static let count = bounded + 1

  /// The most microseconds of a request in a bucket; nil: no bound.
  public static func bound(of bucket: Int) -> Int? { bucket < bounded ? 1 << bucket : nil }

  /// The bucket of a request. Neither divides nor branches much: it is called for each request.
  /// - Parameter latency: nanoseconds; what is negative counts as 0.
  @inline(__always)
  public static func bucket(of latency: Int64) -> Int {
    guard latency > 1000 else { return 0 }
    // Whole microseconds, rounded up; the bucket is the number of bits that the next lower one needs.
    let below = (UInt64(bitPattern: latency) - 1) / 1000
    return min(bounded, UInt64.bitWidth - below.leadingZeroBitCount)
  }
}

/// What a broker has measured of one kind of requests since it began.
public struct LatencyHistogram: WireCodable {
  public var kind: RequestKind
  /// ``LatencyBuckets/count`` numbers of requests; each is in one bucket only.
  public var counts: [UInt64]
  /// Nanoseconds of all requests together.
  public var total: UInt64

  public init(
    _ kind: RequestKind, counts: [UInt64] = Array(repeating: 0, count: LatencyBuckets.count), total: UInt64 = 0
  ) {
    precondition(counts.count == LatencyBuckets.count, "one number for each bucket")
    self.kind = kind
    self.counts = counts
    self.total = total
  }

  public func encode(into writer: inout WireWriter) {
    writer.put(kind.rawValue)
    writer.put(total)
    for count in counts { writer.put(count) }
  }

  public init(from reader: inout WireReader) throws(WireError) {
    guard let kind = RequestKind(rawValue: try reader.get("request kind")) else { throw .invalidValue("request kind") }
    self.init(kind)
    total = try reader.get("total latency")
    for bucket in counts.indices { counts[bucket] = try reader.get("latency bucket") }
  }
}
