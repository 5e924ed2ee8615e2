/// The ranges of all requests that change blocks and are not done yet: in the order in which clients sent them, a
/// request waits for the older changes that it overlaps.
///
/// So no two overlapping requests of which one writes are ever with the driver together, and that is what makes three
/// promises hold:
/// - What a client that is gone has left with the driver never lands on top of what another, or the same one after
///   reconnecting, has written since: the newer one waits for it. A newer read waits too, and reads what will stay.
/// - A write that was answered was not overtaken by an older one that was not: the older one was done first. So replay
///   after a driver's death, in whatever order, cannot undo an answered write.
/// - Clients of one export on several connections see one order of the writes to a block.
///
/// NBD asks for less, as it lets concurrent commands run in any order ("Ordering of messages and writes"); clients that
/// expect speed from overlapping writes in flight are not known. Checking costs a look at each unfinished change.
///
/// A value without references; its owner deallocates it.
struct ChangeTable {
  private struct Entry {
    var start: UInt64
    var end: UInt64
    var unit: UInt32
    var request: Int32
    /// A newer request waits for this one.
    var isAwaited: Bool
  }

  private let entries: UnsafeMutablePointer<Entry>
  private let counter: UnsafeMutablePointer<Int>

  init(capacity: Int) {
    entries = .allocate(capacity: capacity)
    counter = .allocate(capacity: 1)
    counter.initialize(to: 0)
  }

  func deallocate() {
    entries.deallocate()
    counter.deallocate()
  }

  /// Changes that are not done.
  var count: Int { counter.pointee }

  /// How many of them a newer request with this range has to wait for. They are marked as awaited.
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

  /// Notes a change.
  @inline(__always)
  func insert(_ index: Int32, in requests: RequestTable) {
    let request = requests[index]
    let place = counter.pointee
    (entries + place).initialize(
      to: Entry(
        start: request.offset, end: request.end, unit: UInt32(request.unit), request: index, isAwaited: false))
    requests[index].change = Int32(place)
    counter.pointee = place + 1
  }

  /// Forgets a change. Returns whether any request waits for it.
  @inline(__always)
  func remove(_ index: Int32, in requests: RequestTable) -> Bool {
    let place = Int(requests[index].change)
    let isAwaited = entries[place].isAwaited
    let last = counter.pointee - 1
    entries[place] = entries[last]
    requests[entries[place].request].change = Int32(place)
    requests[index].change = -1
    counter.pointee = last
    return isAwaited
  }
}
