import Platform

/// The pings of one driver and its answers.
struct Heartbeat {
  enum Beat: Equatable {
    case ping(UInt32)
    /// Nothing was heard for too long.
    case missed
  }

  let timeout: Nanoseconds
  private var sent: UInt32 = 0
  private var answered: UInt32 = 0
  private var silentSince: Nanoseconds?

  init(timeout: Nanoseconds) { self.timeout = timeout }

  /// Called once for each interval.
  mutating func beat(now: Nanoseconds) -> Beat {
    if let silentSince, now - silentSince >= timeout { return .missed }
    if silentSince == nil { silentSince = now }
    sent &+= 1
    return .ping(sent)
  }

  /// False for an answer to nothing that was asked, or one that was given before.
  mutating func answered(_ sequence: UInt32, now: Nanoseconds) -> Bool {
    let ahead = sequence &- answered
    guard ahead >= 1, ahead <= sent &- answered else { return false }
    answered = sequence
    silentSince = answered == sent ? nil : now
    return true
  }
}

/// Counts messages within a second.
struct MessageRate {
  /// A walk over all of config space is 1024 accesses.
  static let limit = 1500
  private var windowStart: Nanoseconds = 0
  private var count = 0

  /// False when there were more than ``limit`` within the second.
  mutating func admit(now: Nanoseconds) -> Bool {
    if now - windowStart >= 1_000_000_000 {
      windowStart = now
      count = 0
    }
    count += 1
    return count <= Self.limit
  }
}
