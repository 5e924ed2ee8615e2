import CBulkhead

/// Decides whether a loop that has nothing to do looks on for a while before it sleeps.
///
/// Looking on saves a sleep and a wake-up where the answer comes soon, and wastes a processor where it does not: with a slow
/// device, or with fewer processors than there are parties. So it is done as long as it pays: each time nothing was found,
/// twice as many sleeps go by before it is tried again, up to ``longestPause``; each time something was found, the pause is over.
///
/// A plain value. A clock can be slower than hundreds of looks (in a virtual machine each reading can be an access to an
/// emulated timer, which also stops the machine's devices), so most spins are counted, not timed: how many looks fill the
/// limit is measured in one spin out of ``spinsBetweenTimings``, over its first ``looksTimed``: over more of them, other
/// processes would be measured too.
public struct AdaptiveSpin {
  /// The most time that is looked on before one sleep, in nanoseconds; 0: none.
  public let limit: Nanoseconds
  /// Looks that take as long as the limit, as far as is known.
  private(set) var looksPerSpin = Self.looksTimed
  /// Sleeps that go by until it is tried again.
  private var pause: UInt32 = 0
  private var nextPause: UInt32 = 1
  /// Looks since the last work.
  private var looks: UInt32 = 0
  /// Spins until one is timed.
  private var untimed: UInt32 = 0
  /// When the spin that is timed began; 0: this one is not.
  private var start: Nanoseconds = 0

  static let longestPause: UInt32 = 256
  static let spinsBetweenTimings: UInt32 = 64
  /// Looks that are timed, or fewer in a shorter spin.
  static let looksTimed: UInt32 = 256
  /// The least before a sleep.
  static let fewestLooks: UInt32 = 32

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
      begin()
    }
    looks += 1
    bh_cpu_relax()
    if looks == Self.looksTimed { measure() }
    if looks < looksPerSpin { return true }
    measure()
    looks = 0
    pause = nextPause
    nextPause = min(nextPause * 2, Self.longestPause)
    return false
  }

  private mutating func begin() {
    if untimed == 0 { start = monotonicNow() } else { untimed -= 1 }
  }

  private mutating func measure() {
    guard start != 0 else { return }
    untimed = Self.spinsBetweenTimings - 1
    learn(looks: looks, took: monotonicNow() - start)
    start = 0
  }

  /// So many looks took so long. A spin that was interrupted looks slow, and one reading is not to be believed by far: the
  /// number at most halves, or grows eight times.
  mutating func learn(looks: UInt32, took: Nanoseconds) {
    guard took > 0 else { return }
    let measured = Double(looks) * Double(limit) / Double(took)
    let bounded = min(max(measured, Double(looksPerSpin) / 2), Double(looksPerSpin) * 8)
    looksPerSpin = UInt32(min(max(bounded, Double(Self.fewestLooks)), Double(1 << 24)))
    // Far off: not only once in a while.
    if measured < bounded / 2 || measured > bounded * 2 { untimed = 0 }
  }

  /// Called where a look has found something.
  @inline(__always)
  public mutating func found() {
    guard looks > 0 else { return }
    stop()
    nextPause = 1
  }

  /// Called where there is no reason to look on: nothing is expected.
  @inline(__always)
  public mutating func rest() { stop() }

  /// A spin that is over before it was measured: another one will be.
  @inline(__always)
  private mutating func stop() {
    looks = 0
    guard start != 0 else { return }
    start = 0
    untimed = Self.spinsBetweenTimings - 1
  }
}
