/// The ranges of all requests that read or change blocks and are not done yet. In the order in which clients sent them, a
/// request waits for the older changes that it overlaps, and a change for the older reads as well.
///
/// So no two overlapping requests of which one writes are ever with the driver together, and that is what makes these
/// promises hold:
/// - What a client that is gone has left with the driver never lands on top of what another, or the same one after
///   reconnecting, has written since: the newer one waits for it. A newer read waits too, and reads what will stay.
/// - A write that was answered was not overtaken by an older one that was not: the older one was done first. So replay
///   after a driver's death, in whatever order, cannot undo an answered write.
/// - Clients of one export on several connections see one order of the reads and writes of a block.
/// - No block is read half old and half new. A controller owes that itself (NVM command set 1.0, section 2.1.4), but not
///   each keeps it: QEMU's copies blocks between guest memory and the host's page cache, beside other requests.
///
/// NBD asks for less, as it lets concurrent commands run in any order ("Ordering of messages and writes"); clients that
/// expect speed from overlapping writes in flight are not known. Checking costs a read a look at each unfinished change,
/// and a change a look at each unfinished request.
///
/// A value without references; its owner deallocates it.
struct RangeTable {
  private struct Entry {
    var start: UInt64
    var end: UInt64
    var unit: UInt32
    var request: Int32
    /// A newer request waits for this one.
    var isAwaited: Bool
  }

  /// Entries in no order, without gaps.
  private struct List {
    let entries: UnsafeMutablePointer<Entry>
    let counter: UnsafeMutablePointer<Int>

    init(capacity: Int) {
      entries = .allocate(capacity: capacity)
      counter = .allocate(capacity: 1)
      counter.initialize(to: 0)
    }

    func deallocate() {
      entries.deallocate()
      counter.deallocate()
    }

    /// How many entries overlap the request. They are marked as awaited.
    @inline(__always)
    func block(_ request: Request) -> Int32 {
      let (start, end, unit) = (request.offset, request.end, UInt32(request.unit))
      var blockers: Int32 = 0
      for index in 0..<counter.pointee {
        // All three are looked at in any case: branches would cost more than comparisons.
        let entry = entries + index
        let overlaps = entry.pointee.start < end && start < entry.pointee.end && entry.pointee.unit == unit
        if overlaps {
          entry.pointee.isAwaited = true
          blockers += 1
        }
      }
      return blockers
    }
  }

  private let changes: List
  private let reads: List

  init(capacity: Int) {
    changes = List(capacity: capacity)
    reads = List(capacity: capacity)
  }

  func deallocate() {
    changes.deallocate()
    reads.deallocate()
  }

  /// Requests that are not done.
  var count: Int { changes.counter.pointee + reads.counter.pointee }

  @inline(__always)
  private func list(of request: Request) -> List { request.isChange ? changes : reads }

  /// How many older requests a newer one has to wait for. They are marked as awaited.
  @inline(__always)
  func block(_ request: Request) -> Int32 {
    changes.block(request) + (request.isChange ? reads.block(request) : 0)
  }

  /// Whether a newer request, of which `older` is not done, was told by ``block(_:)`` to wait for it.
  @inline(__always)
  static func waits(_ newer: Request, for older: Request) -> Bool {
    newer.arrival > older.arrival && newer.unit == older.unit && newer.offset < older.end && older.offset < newer.end
      && (older.isChange || newer.isChange)
  }

  /// Notes a read or a change.
  @inline(__always)
  func insert(_ index: Int32, in requests: RequestTable) {
    let request = requests[index]
    let list = list(of: request)
    let place = list.counter.pointee
    (list.entries + place).initialize(
      to: Entry(
        start: request.offset, end: request.end, unit: UInt32(request.unit), request: index, isAwaited: false))
    requests[index].range = Int32(place)
    list.counter.pointee = place + 1
  }

  /// Forgets what was inserted. Returns whether any request waits for it.
  @inline(__always)
  func remove(_ index: Int32, in requests: RequestTable) -> Bool {
    let list = list(of: requests[index])
    let place = Int(requests[index].range)
    let isAwaited = list.entries[place].isAwaited
    let last = list.counter.pointee - 1
    list.entries[place] = list.entries[last]
    requests[list.entries[place].request].range = Int32(place)
    requests[index].range = -1
    list.counter.pointee = last
    return isAwaited
  }
}
