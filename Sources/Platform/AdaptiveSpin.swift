import CBulkhead

/// Decides whether a loop that has nothing to do looks on for a while before it sleeps.
///
/// Looking on saves a sleep and a wake-up where the answer comes soon, and wastes a processor where it does not: with a slow
/// device, or with fewer processors than there are parties. So it is done as long as it pays: each time nothing was found,
/// twice as many sleeps go by before it is tried again, up to ``longestPause``; each time something was found, the pause is over.
///
/// A plain value. The clock is read once for ``looksBetweenClocks`` looks, because that can be as slow as a system call.
public struct AdaptiveSpin {
  /// The most time that is looked on before one sleep, in nanoseconds; 0: none.
  public let limit: Nanoseconds
  /// Sleeps that go by until it is tried again.
  private var pause: UInt32 = 0
  private var nextPause: UInt32 = 1
  /// Looks since the last work.
  private var looks: UInt32 = 0
  private var end: Nanoseconds = 0

  static let longestPause: UInt32 = 256
  static let looksBetweenClocks: UInt32 = 32

  public init(limit: Nanoseconds) { self.limit = limit }

  /// Called where a look has found nothing. True: look again; false: sleep.
  @inline(__always)
  public mutating func looksOn() -> Bool {
    if looks == 0 {
      guard limit > 0 else { return false }
      guard pause == 0 else {
        pause -= 1
        return false
      }
    }
    looks += 1
    bh_cpu_relax()
    guard looks % Self.looksBetweenClocks == 0 else { return true }
    return isInTime()
  }

  private mutating func isInTime() -> Bool {
    let now = monotonicNow()
    if looks == Self.looksBetweenClocks { end = now + limit }
    if now < end { return true }
    looks = 0
    pause = nextPause
    nextPause = min(nextPause * 2, Self.longestPause)
    return false
  }

  /// Called where a look has found something.
  @inline(__always)
  public mutating func found() {
    guard looks > 0 else { return }
    looks = 0
    nextPause = 1
  }

  /// Called where there is no reason to look on: nothing is expected.
  @inline(__always)
  public mutating func rest() { looks = 0 }
}
