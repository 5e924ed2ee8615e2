import Testing

@testable import Platform

@Suite struct AdaptiveSpinTests {
  /// How often it says to look on before it says to sleep.
  private func looks(_ spin: inout AdaptiveSpin) -> Int {
    var looks = 0
    while spin.looksOn() { looks += 1 }
    return looks
  }

  @Test func withoutALimitItSleepsAtOnce() {
    var spin = AdaptiveSpin(limit: 0)
    for _ in 0..<10 { #expect(looks(&spin) == 0) }
  }

  @Test func thePauseDoublesUpToItsLimit() {
    var spin = AdaptiveSpin(limit: 1)
    var pauses: [Int] = []
    _ = looks(&spin)
    for _ in 0..<12 {
      var skipped = 0
      while !spin.looksOn() { skipped += 1 }
      pauses.append(skipped)
      _ = looks(&spin)
    }
    #expect(pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256, 256])
  }

  @Test func aSuccessEndsThePause() {
    var spin = AdaptiveSpin(limit: 1)
    _ = looks(&spin)
    for _ in 0..<5 {
      while !spin.looksOn() {}
      _ = looks(&spin)
    }
    while !spin.looksOn() {}
    spin.found()
    #expect(looks(&spin) > 0, "no sleep goes by without looking")
    let (now, later) = (spin.looksOn(), spin.looksOn())
    #expect(!now, "one pause")
    #expect(later)
  }

  @Test func whereNothingIsExpectedNothingIsLearned() {
    var spin = AdaptiveSpin(limit: 1_000_000_000)
    let first = spin.looksOn()
    #expect(first)
    spin.rest()
    let second = spin.looksOn()
    #expect(second, "a rest is no failure")
  }
}
