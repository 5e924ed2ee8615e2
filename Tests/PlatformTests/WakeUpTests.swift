import Testing

@testable import Platform

@Suite struct WakeUpTests {
  @Test func itTakesSomeTime() throws {
    let cost = try #require(WakeUp.measure(rounds: 3))
    #expect(cost > 0)
  }

  @Test func itIsMeasuredOnce() { #expect(WakeUp.cost == WakeUp.cost) }
}
