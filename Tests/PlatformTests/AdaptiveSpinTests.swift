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

  @Test func theNumberOfLooksFillsTheLimit() {
    var spin = AdaptiveSpin(limit: 50_000)
    // 100 ns for a look.
    for _ in 0..<10 { spin.learn(looks: spin.looksPerSpin, took: Nanoseconds(spin.looksPerSpin) * 100) }
    #expect(spin.looksPerSpin == 500)
    // One that something came between makes it half as long, and the next one puts it right.
    spin.learn(looks: 500, took: 4_000_000)
    #expect(spin.looksPerSpin == 250)
    spin.learn(looks: 250, took: 25_000)
    #expect(spin.looksPerSpin == 500)
    spin.learn(looks: 500, took: 0)
    #expect(spin.looksPerSpin == 500, "that says nothing")
  }

  @Test func theNumberOfLooksHasBounds() {
    var slow = AdaptiveSpin(limit: 1)
    for _ in 0..<40 { slow.learn(looks: 1000, took: 1_000_000) }
    #expect(slow.looksPerSpin == AdaptiveSpin.fewestLooks)
    var long = AdaptiveSpin(limit: 1_000_000_000)
    for _ in 0..<40 { long.learn(looks: 1000, took: 1) }
    #expect(long.looksPerSpin == 1 << 24)
  }

  @Test func itLearnsByItself() {
    var spin = AdaptiveSpin(limit: 2_000_000)
    for _ in 0..<6 {
      while !spin.looksOn() {}
      _ = looks(&spin)
    }
    #expect(spin.looksPerSpin > 1000)
  }
}
