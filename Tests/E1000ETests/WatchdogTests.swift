import DriverKit
import Testing

@testable import E1000E

/// A NIC that stops sending.
@Suite struct WatchdogTests {
  private func hang(_ bench: Bench) throws {
    for _ in 0..<E1000EDriver.looksToHang { try bench.driver.timer(0) }
  }

  @Test func resetsAHungController() throws {
    let bench = try Bench().start(mtu: 4000)
    bench.fake.isStuck = true
    for index in 0..<10 { try bench.give(Sample.frame(60 + index)) }
    try bench.run()
    let isWatched = bench.driver.transmit.pointee.watch.isRunning
    #expect(isWatched && bench.driver.transmit.pointee.ring.pending == 10)
    try bench.driver.timer(0)
    #expect(bench.fake.resets == 1, "one quiet second is no hang")
    bench.fake.isStuck = false
    try bench.driver.timer(0)
    #expect(bench.fake.resets == 2)
    #expect(
      bench.driver.outbound.outstanding == E1000EDriver.outboundBuffers,
      "what was not sent is lost, its buffers are not")
    // All settings are in force again.
    bench.fake.receive(Sample.frame(3900))
    try bench.give(Sample.frame(99))
    try bench.run()
    #expect(bench.fake.wire == [Sample.frame(99)])
    #expect(try bench.taken().map(\.bytes) == [Sample.frame(3900)])
    let statistics = try bench.driver.statistics()
    #expect(statistics[.hangs] == 1 && statistics[.resets] == 1)
    try bench.driver.timer(0)
    let isStillWatched = bench.driver.transmit.pointee.watch.isRunning
    #expect(!isStillWatched, "an idle driver has no timer")
  }

  @Test func leavesASlowControllerAlone() throws {
    let bench = try Bench().start()
    for _ in 0..<10 {
      bench.fake.isStuck = true
      try bench.give(Sample.frame(60))
      try bench.run()
      try bench.driver.timer(0)
      bench.fake.isStuck = false
      bench.fake.transmit()
      bench.fake.isStuck = true
      try bench.give(Sample.frame(60))
      try bench.run()
      try bench.driver.timer(0)
    }
    #expect(bench.fake.resets == 1)
  }

  @Test func givesUpInTheEnd() throws {
    let bench = try Bench().start()
    bench.fake.isStuck = true
    for _ in 0..<E1000EDriver.maximumHangs {
      try bench.give(Sample.frame(60))
      try bench.run()
      try hang(bench)
    }
    try bench.give(Sample.frame(60))
    try bench.run()
    let failure = #expect(throws: DriverFailure.self) { try hang(bench) }
    #expect(failure?.code == .timeout)
    #expect(bench.fake.resets == 1 + E1000EDriver.maximumHangs)
  }

  @Test func dropsWhatCannotBeSentWithoutALink() throws {
    let bench = try Bench { $0.isLinkUp = false }.start()
    bench.fake.isStuck = true
    for _ in 0..<5 {
      try bench.give(Sample.frame(60))
      try bench.run()
      try hang(bench)
    }
    #expect(bench.fake.resets == 6)
    #expect(try bench.driver.statistics()[.hangs] == 0)
    #expect(bench.driver.outbound.outstanding == E1000EDriver.outboundBuffers)
  }
}
