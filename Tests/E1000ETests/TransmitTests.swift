import DriverKit
import Testing

@testable import E1000E

/// Frames of the outlet, through the driver, to the wire.
@Suite struct TransmitTests {
  /// The controller pads what has 17 bytes. What it is given in place of fewer is not what was in the buffer before.
  @Test(arguments: [14, 15, 16, 17]) func fillsUpWhatIsTooShortToBePadded(length: Int) throws {
    let bench = try Bench(queueSize: 64).start()
    for round in 0..<200 {
      let frame = Sample.frame(round % 2 == 0 ? 1514 : length, seed: round)
      try bench.give(frame)
      try bench.run()
      #expect(bench.fake.wire.last == frame + [UInt8](repeating: 0, count: max(0, 17 - frame.count)))
    }
  }

  @Test(arguments: [17, 60, 1514, 1518, 9014]) func sendsAsGiven(length: Int) throws {
    let bench = try Bench().start(mtu: 9000)
    let frame = Sample.frame(length, seed: length)
    try bench.give(frame)
    try bench.run()
    #expect(bench.fake.wire == [frame])
    #expect(bench.fake.faults.isEmpty && bench.fake.crossings == 0)
  }

  @Test func goesRoundTheRingsAndGivesBuffersBack() throws {
    let bench = try Bench(queueSize: 64).start()
    for round in 0..<100 {
      for index in 0..<50 { #expect(try bench.give(Sample.frame(64 + index, seed: round * 50 + index))) }
      try bench.run()
    }
    #expect(bench.fake.wire.count == 5000 && bench.fake.crossings == 0)
    #expect(bench.fake.wire[4999] == Sample.frame(113, seed: 4999))
    #expect(bench.driver.outbound.outstanding == 64)
  }

  @Test(arguments: [0, 1, 2]) func fillsInChecksums(tags: Int) throws {
    let bench = try Bench().start()
    for version in [4, 6] {
      let (frame, network, transport) = Sample.tcp(version: version, payload: 777, tags: tags)
      try bench.give(frame, header: Sample.header(start: transport, offset: 16))
      try bench.run()
      let sent = try #require(bench.fake.wire.last)
      #expect(Sample.hasGoodChecksum(sent, version: version, network: network, transport: transport))
      #expect(sent.count == frame.count && Array(sent[..<transport]) == Array(frame[..<transport]))
    }
  }

  @Test func fillsInItselfWhatTheControllerCannotReach() throws {
    let bench = try Bench().start()
    var frame = Sample.frame(601)
    frame.put16(316, 0)
    try bench.give(frame, header: Sample.header(start: 300, offset: 16))
    try bench.run()
    let sent = try #require(bench.fake.wire.first)
    #expect(internetSum(sent[300...]) == 0xFFFF)
    #expect(Array(sent[..<300]) == Array(frame[..<300]))
  }

  @Test(arguments: [(4, 0), (4, 1), (4, 2), (6, 0), (6, 1)])
  func segments(version: Int, tags: Int) throws {
    let bench = try Bench().start()
    let payload = 65495 - 40
    let (frame, network, transport) = Sample.tcp(version: version, payload: payload, tags: tags)
    let kind: UInt8 = version == 4 ? 1 : 4
    try bench.give(frame, header: Sample.header(start: transport, offset: 16, kind: kind, size: 1400))
    try bench.run()
    let sent = bench.fake.wire
    #expect(sent.count == (payload + 1399) / 1400 && bench.fake.segmentations == 1)
    #expect(sent.allSatisfy { Sample.hasGoodChecksum($0, version: version, network: network, transport: transport) })
    #expect(sent.flatMap { $0[(transport + 20)...] } == Array(frame[(transport + 20)...]))
    if version == 4 { #expect(sent.allSatisfy { internetSum($0[network..<transport]) == 0xFFFF }) }
    #expect(bench.fake.faults.isEmpty && bench.fake.crossings == 0)
  }

  @Test func keepsContextsApart() throws {
    let bench = try Bench().start()
    let (first, network, transport) = Sample.tcp(version: 4, payload: 3000)
    let (second, network6, transport6) = Sample.tcp(version: 6, payload: 100)
    for _ in 0..<20 {
      bench.fake.wire = []
      try bench.give(first, header: Sample.header(start: transport, offset: 16, kind: 1, size: 1000))
      try bench.give(second, header: Sample.header(start: transport6, offset: 16))
      try bench.give(second, header: Sample.header(start: transport6, offset: 16))
      try bench.give(Sample.frame(99))
      try bench.run()
      #expect(bench.fake.wire.count == 6)
      for frame in bench.fake.wire[..<3] {
        #expect(Sample.hasGoodChecksum(frame, version: 4, network: network, transport: transport))
      }
      for frame in bench.fake.wire[3..<5] {
        #expect(Sample.hasGoodChecksum(frame, version: 6, network: network6, transport: transport6))
      }
      #expect(bench.fake.wire[5] == Sample.frame(99))
    }
  }

  @Test func refusesHeadersThatContradictTheFrame() throws {
    let bench = try Bench().start()
    let (tcp4, _, start) = Sample.tcp(version: 4, payload: 4000)
    let (tcp6, _, start6) = Sample.tcp(version: 6, payload: 4000)
    var shortTCP = tcp4
    shortTCP[start + 12] = 0x40
    var udp = tcp4
    udp[23] = 17
    let cases: [([UInt8], [UInt8])] = [
      (Sample.frame(13).dropLast() + [], Sample.header(start: 0, offset: 0, flags: 0)),
      (Sample.frame(9300), Sample.header(start: 0, offset: 0, flags: 0)),
      (Sample.frame(100), Sample.header(start: 100, offset: 0)),
      (Sample.frame(100), Sample.header(start: 14, offset: 85)),
      (Sample.frame(100), Sample.header(start: 2, offset: 4)),
      (Sample.frame(100), Sample.header(start: 65535, offset: 65535)),
      (tcp4, Sample.header(start: start, offset: 16, kind: 4, size: 1000)),
      (tcp6, Sample.header(start: start6, offset: 16, kind: 1, size: 1000)),
      (tcp4, Sample.header(start: start, offset: 16, kind: 3, size: 1000)),
      (tcp4, Sample.header(start: start, offset: 16, kind: 1, size: 1000, flags: 0)),
      // CWR, which the controller would repeat.
      (tcp4, Sample.header(start: start, offset: 16, kind: 0x81, size: 1000)),
      (tcp4, Sample.header(start: start, offset: 6, kind: 1, size: 1000)),
      (tcp4, Sample.header(start: start, offset: 16, kind: 1, size: 0)),
      (tcp4, Sample.header(start: start, offset: 16, kind: 1, size: 9200)),
      (tcp4, Sample.header(start: start + 4, offset: 16, kind: 1, size: 1000)),
      (tcp4, Sample.header(start: 4050, offset: 16, kind: 1, size: 1000)),
      (shortTCP, Sample.header(start: start, offset: 16, kind: 1, size: 1000)),
      (udp, Sample.header(start: start, offset: 16, kind: 1, size: 1000)),
      (Array(tcp4[..<54]), Sample.header(start: start, offset: 16, kind: 1, size: 1000)),
    ]
    for (frame, header) in cases { try bench.give(frame, header: header) }
    // A length that no buffer has, and one that has no room for a header.
    try bench.give(Sample.frame(60), length: 1 << 20)
    try bench.give(Sample.frame(60), length: 5)
    try bench.run()
    #expect(bench.fake.wire.isEmpty)
    #expect(try bench.driver.statistics()[.droppedOutbound] == UInt64(cases.count + 2))
    #expect(bench.driver.outbound.outstanding == E1000EDriver.outboundBuffers, "every buffer is back with the outlet")
  }

  @Test func sendsNothingWhileTheInterfaceIsDown() throws {
    let bench = try Bench().start()
    try bench.apply { $0.isEnabled = false }
    try bench.give(Sample.frame(60))
    try bench.run()
    #expect(bench.fake.wire.isEmpty && bench.driver.outbound.outstanding == E1000EDriver.outboundBuffers)
    try bench.apply()
    try bench.give(Sample.frame(61))
    try bench.run()
    #expect(bench.fake.wire.map(\.count) == [61])
  }

  @Test func waitsForRoomWithoutLosingFrames() throws {
    let bench = try Bench(queueSize: 256).start()
    bench.fake.isStuck = true
    let (frame, _, transport) = Sample.tcp(version: 4, payload: 65000)
    let buffers = E1000EDriver.outboundBuffers
    for _ in 0..<buffers {
      #expect(try bench.give(frame, header: Sample.header(start: transport, offset: 16, kind: 1, size: 1448)))
    }
    #expect(try !bench.give(frame))
    try bench.run()
    #expect(
      bench.driver.transmit.pointee.ring.room < TransmitRing.need(65557)
        && bench.driver.transmit.pointee.ring.pending < buffers)
    try bench.driver.armInterrupts()
    #expect(bench.fake.registers[0x00D0]! & 1 << 22 != 0, "room is waited for")
    bench.fake.isStuck = false
    bench.fake.transmit()
    try bench.run()
    #expect(bench.fake.segmentations == buffers)
    #expect(bench.driver.outbound.outstanding == buffers)
  }

  @Test func isNotInterruptedForFramesThatAreSentUnlessBuffersRunLow() throws {
    let bench = try Bench(queueSize: 256).start()
    bench.fake.isStuck = true
    func armsForFramesSent() throws -> Bool {
      try bench.driver.armInterrupts()
      return bench.fake.registers[0x00D0]! & 1 << 22 != 0
    }
    for _ in 1..<E1000EDriver.outboundBuffers / 4 { _ = try bench.give([UInt8](repeating: 1, count: 60)) }
    try bench.run()
    #expect(try !armsForFramesSent())
    _ = try bench.give([UInt8](repeating: 1, count: 60))
    try bench.run()
    #expect(try armsForFramesSent(), "a quarter of them")
  }
}
