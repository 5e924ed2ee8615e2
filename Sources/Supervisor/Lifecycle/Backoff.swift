import Platform

/// When the next attempt may begin, and when there is none any more.
///
/// The delay doubles while attempts fail soon after another, and begins anew after ``DeviceSettings/Restart/interval``
/// without a failure. More than `burst` attempts within the interval are too many, and so are more of them in a row, however
/// far apart, that came to nothing: one who is never ready can take its time.
public struct Backoff: Sendable {
  public enum Decision: Equatable, Sendable {
    case after(Nanoseconds)
    /// So many restarts were within the interval already.
    case giveUp(Int)
  }

  private let settings: DeviceSettings.Restart
  private var attempts: [Nanoseconds] = []
  private var nextDelay: Nanoseconds

  public init(_ settings: DeviceSettings.Restart) {
    self.settings = settings
    nextDelay = settings.delay
  }

  /// Something failed at `now`.
  /// - Parameter hasServed: it had begun to do what it is for.
  public mutating func failed(at now: Nanoseconds, hasServed: Bool = true) -> Decision {
    if hasServed { attempts.removeAll { now - $0 > settings.interval } }
    if attempts.isEmpty { nextDelay = settings.delay }
    if settings.burst > 0, attempts.count >= settings.burst { return .giveUp(attempts.count) }
    // An unlimited burst needs no memory of more than the last attempt.
    if settings.burst == 0 { attempts.removeAll() }
    attempts.append(now)
    defer { nextDelay = min(settings.maximumDelay, max(nextDelay, 1_000_000) * 2) }
    return .after(min(nextDelay, settings.maximumDelay))
  }
}
