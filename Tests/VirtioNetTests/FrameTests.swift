import DriverKit
import Testing

@testable import VirtioNet

/// Frames both ways, by address, with their headers.
@Suite struct FrameTests {
  @Test(arguments: [14, 60, 1514, 9022]) func passesFramesOn(length: Int) throws {
    let bench = try Bench().start(mtu: 9000)
    let frame = Sample.frame(length, seed: length)
    try bench.give(frame)
    bench.fake.receive(frame)
    try bench.run()
    #expect(bench.fake.wire.map(\.frame) == [frame] && bench.fake.wire[0].header == [UInt8](repeating: 0, count: 12))
    #expect(try bench.taken() == [Bench.Frame(header: [UInt8](repeating: 0, count: 12), bytes: frame)])
    #expect(bench.fake.faults.isEmpty)
  }

  @Test(arguments: [true, false]) func goesRoundTheRings(hasEventIndex: Bool) throws {
    let bench = try Bench(queueSize: 64) { if !hasEventIndex { $0.offered &= ~(1 << 29) } }.start()
    let frames = (0..<50).map { Sample.frame(64 + $0, seed: $0) }
    var (refused, returned) = (0, 0)
    for _ in 0..<1400 {
      for index in 0..<50 {
        if try !bench.give(frames[index]) || !bench.fake.receive(frames[index]) { refused += 1 }
      }
      try bench.run()
      if try bench.taken().map(\.bytes) == frames { returned += 1 }
      try bench.run()
    }
    #expect(refused == 0 && returned == 1400)
    #expect(bench.fake.wire.count == 70_000 && bench.fake.wire[69_999].frame == frames[49])
    #expect(bench.driver.outbound.outstanding == 64 && bench.fake.queues[0].waiting(bench.fake) == 64)
    #expect(bench.fake.queues[1].notifications <= 1400 * 2, "one notification for many frames")
  }

  // MARK: Offloads

  @Test func passesChecksumsOn() throws {
    let bench = try Bench().start()
    try bench.give(Sample.frame(200), header: Sample.header(flags: 3, headers: 9, buffers: 7))
    bench.fake.receive(Sample.frame(200), header: Sample.header(headers: 9, size: 5, buffers: 1))
    bench.fake.receive(Sample.frame(200), header: Sample.header(flags: 2, buffers: 1))
    bench.fake.receive(Sample.frame(200), header: Sample.header(flags: 0xF8, buffers: 1))
    try bench.run()
    // Of the flags only NEEDS_CSUM, and num_buffers 0: section 5.1.6.2.1.
    #expect(bench.fake.wire[0].header == Sample.header(flags: 1, headers: 0))
    let empty = [UInt8](repeating: 0, count: 11)
    #expect(try bench.taken().map(\.header) == [Sample.header(headers: 0), [2] + empty, [0] + empty])
  }

  @Test func leavesSegmentsToTheDevice() throws {
    let bench = try Bench().start()
    let frame = Sample.segment(60_000, words: 8)
    try bench.give(frame, header: Sample.header(kind: 0x81, headers: 3, size: 1448, buffers: 9))
    try bench.give(frame, header: Sample.header(kind: 4, size: 1428))
    try bench.run()
    #expect(bench.fake.wire.map(\.frame) == [frame, frame])
    // The length of the headers is the true one.
    #expect(bench.fake.wire[0].header == Sample.header(kind: 0x81, headers: 66, size: 1448))
    #expect(try bench.driver.statistics()[.segmented] == 2)
  }

  @Test func leavesNoCWRToADeviceThatDoesNotKnowIt() throws {
    let bench = try Bench { $0.offered &= ~(1 << 13) }.start()
    try bench.give(Sample.segment(60_000), header: Sample.header(kind: 0x81, size: 1448))
    try bench.give(Sample.segment(50_000), header: Sample.header(kind: 1, size: 1448))
    try bench.run()
    #expect(bench.fake.wire.map(\.frame.count) == [50_000])
    #expect(try bench.driver.statistics()[.droppedOutbound] == 1)
  }

  /// What the outlet must not give: nothing of it reaches the device, and the buffers come back.
  @Test(arguments: [
    // A checksum outside the frame, or in its Ethernet header.
    (100, Sample.header(start: 90, offset: 9)), (100, Sample.header(start: 0xFFFF, offset: 0xFFFF)),
    (100, Sample.header(start: 2, offset: 4)),
    // Segments of no size, without a checksum, of UDP, of an unknown kind, with a checksum elsewhere, larger than frames.
    (3000, Sample.header(kind: 1)), (3000, Sample.header(flags: 0, kind: 1, size: 1400)),
    (3000, Sample.header(kind: 3, size: 1400)), (3000, Sample.header(kind: 0x77, size: 1400)),
    (3000, Sample.header(kind: 1, size: 1400, offset: 6)), (30_000, Sample.header(kind: 1, size: 20_000)),
    // Headers that reach beyond the frame.
    (3000, Sample.header(kind: 1, size: 1400, start: 2990)), (50, Sample.header(kind: 1, size: 1400)),
    // Too long for any frame, too short.
    (9100, Sample.header(flags: 0)), (13, Sample.header(flags: 0)), (0, Sample.header(flags: 0)),
  ])
  func refusesHeadersThatContradictTheFrame(length: Int, header: [UInt8]) throws {
    let bench = try Bench().start()
    try bench.give(length < 60 ? Sample.frame(length) : Sample.segment(length), header: header)
    try bench.run()
    #expect(bench.fake.wire.isEmpty && bench.driver.outbound.outstanding == 256)
    #expect(try bench.driver.statistics()[.droppedOutbound] == 1)
  }

  @Test func sendsNothingThatWasNotNegotiated() throws {
    let bench = try Bench(options: ["checksum=0"]).start()
    try bench.give(Sample.frame(100), header: Sample.header())
    bench.fake.receive(Sample.frame(100), header: Sample.header(buffers: 1))
    bench.fake.receive(Sample.frame(101), header: Sample.header(flags: 2, buffers: 1))
    try bench.run()
    #expect(bench.fake.wire.isEmpty)
    #expect(try bench.taken() == [Bench.Frame(header: [UInt8](repeating: 0, count: 12), bytes: Sample.frame(101))])
    #expect(try bench.driver.statistics()[.implausibleInbound] == 1)
  }

  @Test func sendsNothingWhileDown() throws {
    let bench = try Bench().start()
    try bench.apply { $0.isEnabled = false }
    try bench.give(Sample.frame(100))
    try bench.run()
    #expect(bench.fake.wire.isEmpty && bench.driver.outbound.outstanding == 256)
  }

  // MARK: Interrupts

  @Test(arguments: [true, false]) func interruptsOnlyASleepingDriver(hasEventIndex: Bool) throws {
    let bench = try Bench { if !hasEventIndex { $0.offered &= ~(1 << 29) } }.start()
    bench.fake.receive(Sample.frame(64))
    #expect(EventDescriptor.drain(bench.interrupts[1]) == 0, "it polls")
    try bench.run()
    try bench.driver.armInterrupts()
    bench.fake.receive(Sample.frame(64))
    #expect(EventDescriptor.drain(bench.interrupts[1]) == 1)
    try bench.driver.interrupt(1)
    for _ in 0..<5 { bench.fake.receive(Sample.frame(64)) }
    #expect(EventDescriptor.drain(bench.interrupts[1]) == 0)
    try bench.run()
    #expect(try bench.taken().count == 7)
  }

  @Test func interruptsForFramesSentWhenBuffersRunShort() throws {
    let bench = try Bench().start()
    bench.fake.isStuck = true
    for _ in 0..<100 { try bench.give(Sample.frame(64)) }
    try bench.run()
    try bench.driver.armInterrupts()
    bench.fake.isStuck = false
    bench.fake.transmit()
    #expect(EventDescriptor.drain(bench.interrupts[2]) == 0, "there are others")
    try bench.run()
    bench.fake.isStuck = true
    for _ in 0..<200 { try bench.give(Sample.frame(64)) }
    try bench.run()
    try bench.driver.armInterrupts()
    bench.fake.isStuck = false
    bench.fake.transmit()
    #expect(EventDescriptor.drain(bench.interrupts[2]) == 1)
  }

  // MARK: Watchdog

  @Test func notifiesAgainAndGivesUp() throws {
    let bench = try Bench().start()
    bench.fake.isStuck = true
    try bench.give(Sample.frame(64))
    try bench.run()
    let before = bench.fake.queues[1].notifications
    for _ in 0..<VirtioNetDriver.looksToHang { try bench.driver.timer(0) }
    #expect(bench.fake.queues[1].notifications == before + 1)
    #expect(try bench.driver.statistics()[.hangs] == 1)
    // Without a link it may wait.
    bench.fake.setLink(false)
    for _ in 0..<100 { try bench.driver.timer(0) }
    bench.fake.setLink(true)
    #expect(Bench.code { for _ in 0..<100 { try bench.driver.timer(0) } } == .timeout)
    bench.fake.isStuck = false
    bench.fake.transmit()
    try bench.driver.timer(0)
    let isStillWatched = bench.driver.transmit.pointee.watch.isRunning
    #expect(!isStillWatched, "an idle driver has no timer")
    // It counts from the beginning.
    let hangs = try bench.driver.statistics()[.hangs]
    bench.fake.isStuck = true
    try bench.give(Sample.frame(64))
    try bench.run()
    try bench.driver.timer(0)
    #expect(try bench.driver.statistics()[.hangs] == hangs)
  }
}
