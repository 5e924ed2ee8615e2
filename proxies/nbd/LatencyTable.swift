import Platform
import Protocol

/// How long requests took, from the moment that all of them was there to their answer being ready; how long a client takes
/// to read it does not count. In memory that is made once.
///
/// Reading the clock can be as slow as a system call (a HPET without a usable TSC), so it is read once for a batch: for what
/// one turn of the loop takes from the sockets and the completions that were there by then, and once for each further round
/// that finds completions. A latency is therefore wrong by what the broker itself did between that reading and the request
/// it is used for, never by time in which it slept or waited for the driver. Both ends of a request can be too early.
///
/// A value without references, so that passing it on costs nothing; its owner deallocates it.
struct LatencyTable {
  private struct Header {
    /// When the batch began; 0: the clock was not read for it yet.
    var time: Nanoseconds = 0
  }

  private let header: UnsafeMutablePointer<Header>
  /// ``LatencyBuckets/count`` for each kind.
  private let counts: UnsafeMutablePointer<UInt64>
  /// Nanoseconds, for each kind.
  private let totals: UnsafeMutablePointer<UInt64>

  private static var kinds: Int { RequestKind.allCases.count }

  init() {
    header = .allocate(capacity: 1)
    header.initialize(to: Header())
    counts = .allocate(capacity: Self.kinds * LatencyBuckets.count)
    counts.initialize(repeating: 0, count: Self.kinds * LatencyBuckets.count)
    totals = .allocate(capacity: Self.kinds)
    totals.initialize(repeating: 0, count: Self.kinds)
  }

  func deallocate() {
    header.deallocate()
    counts.deallocate()
    totals.deallocate()
  }

  /// When the present batch began.
  @inline(__always)
  var now: Nanoseconds {
    if header.pointee.time == 0 { header.pointee.time = monotonicNow() }
    return header.pointee.time
  }

  /// The batch is over: time has gone by, or will before anything else is done.
  @inline(__always)
  func endBatch() { header.pointee.time = 0 }

  /// Counts a request that was accepted at `begin` and is done now.
  @inline(__always)
  func count(_ operation: BlockClass.RequestType, since begin: Nanoseconds) {
    let kind = Int(RequestKind(operation).rawValue)
    let latency = max(0, now - begin)
    counts[kind * LatencyBuckets.count + LatencyBuckets.bucket(of: latency)] &+= 1
    totals[kind] &+= UInt64(bitPattern: latency)
  }

  /// For a report; allocates.
  var histograms: [LatencyHistogram] {
    RequestKind.allCases.map { kind in
      let row = UnsafeBufferPointer(
        start: counts + Int(kind.rawValue) * LatencyBuckets.count, count: LatencyBuckets.count)
      return LatencyHistogram(kind, counts: Array(row), total: totals[Int(kind.rawValue)])
    }
  }
}

extension RequestKind {
  /// Grouped as ``BrokerCounters`` counts them.
  @inline(__always)
  init(_ operation: BlockClass.RequestType) {
    switch operation {
    case .read: self = .read
    case .write, .writeZeroes: self = .write
    case .flush: self = .flush
    case .discard: self = .discard
    }
  }
}
