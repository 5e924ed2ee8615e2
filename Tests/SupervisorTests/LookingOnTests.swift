import Platform
import Protocol
import Testing

@testable import Supervisor

@Suite struct LookingOnTests {
  @Test(
    arguments: [
      (3_000, 50_000), (5_000, 100_000), (40_000, 650_000), (125_000, 2_000_000), (400_000, 5_000_000), (0, 50_000),
      (-1, 50_000), (Nanoseconds.max, 5_000_000),
    ] as [(Nanoseconds, Nanoseconds)])
  func itIsSoManyWakeUpsWithinBounds(_ cost: Nanoseconds, _ window: Nanoseconds) {
    #expect(LookingOn.window(16, cost: cost) == window)
  }

  /// The listing says what a driver is started with.
  @Test func eachClassHasItsOwn() {
    #expect(DeviceClass.block.defaultSpin == 50_000)
    #expect(DeviceClass.network.defaultSpin == LookingOn.window(16, cost: WakeUp.cost))
  }
}
