import CBulkhead

/// The driver's timers: a fixed few, named by small numbers of its own choice. Nothing is allocated when one is set.
struct Timers {
  static let count = 8

  private struct Slot {
    var due: Nanoseconds = .max
    var interval: Nanoseconds = 0
  }

  private var slots = [Slot](repeating: Slot(), count: Self.count)
  /// When the next one is due; `.max` where none is set.
  private(set) var next: Nanoseconds = .max

  mutating func set(_ index: Int, due: Nanoseconds, interval: Nanoseconds) {
    slots[index] = Slot(due: due, interval: interval)
    recompute()
  }

  mutating func cancel(_ index: Int) {
    slots[index] = Slot()
    recompute()
  }

  /// A timer that is due at `now`; it is set anew or forgotten. Beats that were missed are not caught up.
  mutating func take(at now: Nanoseconds) -> Int? {
    guard next <= now, let index = slots.firstIndex(where: { $0.due <= now }) else { return nil }
    let interval = slots[index].interval
    slots[index].due = interval > 0 ? max(slots[index].due + interval, now + 1) : .max
    recompute()
    return index
  }

  private mutating func recompute() { next = slots.reduce(.max) { min($0, $1.due) } }
}
