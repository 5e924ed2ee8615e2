import Platform
import Protocol

/// Counts violations and decides when the supervisor hears of them: of the first at once, of more of its kind at most
/// once a second, so that a driver cannot flood the supervisor by misbehaving.
struct ViolationLedger {
  struct Report: Equatable {
    var violation: Violation
    var count: UInt32
    /// Of the latest one.
    var detail: String
  }

  private struct Entry {
    var untold: UInt32 = 0
    var detail = ""
    var told: Nanoseconds?
  }

  /// The least time between two reports of one kind.
  static let interval: Nanoseconds = 1_000_000_000
  private var entries = [Entry](repeating: Entry(), count: Violation.allCases.count)

  private static func slot(_ violation: Violation) -> Int { Int(violation.rawValue) - 1 }

  /// Counts one. Returns what is to be told now.
  mutating func count(_ violation: Violation, _ detail: String, now: Nanoseconds) -> Report? {
    let slot = Self.slot(violation)
    if entries[slot].untold < .max { entries[slot].untold += 1 }
    entries[slot].detail = detail
    if let told = entries[slot].told, now - told < Self.interval { return nil }
    return take(violation, now: now)
  }

  /// What was counted and not told, of kinds whose interval is over, or of all.
  mutating func due(now: Nanoseconds, all: Bool = false) -> [Report] {
    var reports: [Report] = []
    for violation in Violation.allCases {
      let entry = entries[Self.slot(violation)]
      guard entry.untold > 0, all || entry.told.map({ now - $0 >= Self.interval }) ?? true else { continue }
      reports.append(take(violation, now: now))
    }
    return reports
  }

  /// Whether anything waits to be told.
  var isPending: Bool { entries.contains { $0.untold > 0 } }

  private mutating func take(_ violation: Violation, now: Nanoseconds) -> Report {
    let slot = Self.slot(violation)
    defer {
      entries[slot].untold = 0
      entries[slot].told = now
    }
    return Report(violation: violation, count: entries[slot].untold, detail: entries[slot].detail)
  }
}
