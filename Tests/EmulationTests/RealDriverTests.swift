import DriverKit
import Platform
import Protocol
import Testing

@testable import E1000E

/// The e1000e driver on the emulated NIC: what both were written from is one datasheet, and the tables are two.
@Suite(.serialized) struct RealDriverTests {
  @Test func startsAndAnnounces() throws {
    let bench = try DriverBench().start()
    #expect(bench.port?.address == DriverBench.address)
    #expect(bench.port?.model == "Intel 82574L" && bench.port?.firmware == "2.16")
    #expect(try bench.driver.link() == NetworkLink(isUp: true, speed: 1000, isFullDuplex: true))
    try bench.driver.stop()
  }

  @Test(arguments: [60, 1514, 9014]) func movesFramesBothWays(length: Int) throws {
    let bench = try DriverBench().start(mtu: 9000)
    for seed in 0..<300 {
      let frame = NICFrame.plain(length, seed: seed)
      try bench.give(frame)
      try bench.arrive(frame)
      var out: [UInt8]?
      var into: [UInt8]?
      #expect(
        try bench.until {
          out = out ?? bench.sent()
          into = try into ?? bench.taken()?.bytes
          return out != nil && into != nil
        })
      guard out == frame, into == frame else {
        Issue.record("frame \(seed) of \(length) bytes")
        return
      }
    }
    let counted = try bench.driver.statistics()
    #expect(counted[.sentFrames] == 300 && counted[.receivedFrames] == 300)
    #expect(counted[.sentOctets] == UInt64(300 * (length + 4)))
    #expect(try bench.driver.statistics()[.sentFrames] == 300, "counted once")
  }

  /// 1500 bytes, without and with one and two tags (802.1ad outside, 802.1Q inside).
  @Test(arguments: [0, 1, 2]) func movesFullFramesWithTags(tags: Int) throws {
    let bench = try DriverBench().start()
    var frame = NICFrame.plain(1514 + 4 * tags)
    let headers: [UInt8] = [0x88, 0xA8, 0, 9, 0x81, 0, 0, 7]
    frame.replaceSubrange(12..<12 + 4 * tags, with: headers.suffix(4 * tags))
    try bench.give(frame)
    #expect(try bench.until { bench.sent() == frame })
    try bench.arrive(frame)
    #expect(try bench.until { try bench.taken()?.bytes == frame })
    // What is longer than the MTU permits does not get through.
    try bench.arrive(NICFrame.plain(1523))
    #expect(try bench.until { try bench.driver.statistics()[.droppedInbound] == 1 })
  }

  @Test(arguments: [4, 6]) func offloads(version: Int) throws {
    let bench = try DriverBench().start()
    let (frame, network, transport) = NICFrame.ip(version: version, kind: 6, payload: 40_000, partial: true)
    func little(_ value: Int) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8)] }
    let kind: UInt8 = version == 4 ? 1 : 4
    let header = [1, kind] + little(transport + 20) + little(1400) + little(transport) + [16, 0, 1, 0]
    try bench.give(frame, header: header)
    var segments: [[UInt8]] = []
    #expect(
      try bench.until {
        if let segment = bench.sent() { segments.append(segment) }
        return segments.count == 29
      })
    #expect(segments.flatMap { $0[(transport + 20)...] } == Array(frame[(transport + 20)...]))
    for segment in segments {
      #expect(NICFrame.isIntact(segment, version: version, kind: 6, network: network, transport: transport))
      try bench.arrive(segment)
    }
    // Those that come together the driver joins: then the checksum is for the kernel to finish, else it was found right.
    var payload: [UInt8] = []
    var flags: Set<UInt8> = []
    let isAllThere = try bench.until {
      if let frame = try bench.taken() {
        payload += frame.bytes[(transport + 20)...]
        flags.insert(frame.header[0])
      }
      return payload.count == 40_000
    }
    #expect(isAllThere && payload == Array(frame[(transport + 20)...]))
    #expect(flags.isSubset(of: [NetworkClass.flagNeedsChecksum, NetworkClass.flagDataValid]) && !flags.isEmpty)
  }

  @Test func interruptsWhatSleeps() throws {
    let bench = try DriverBench().start()
    for round in 0..<50 {
      try bench.driver.armInterrupts()
      try bench.arrive(NICFrame.plain(64, seed: round))
      #expect(try bench.until { EventDescriptor.drain(bench.interrupts[0]) > 0 })
      try bench.driver.interrupt(0)
      #expect(try bench.until { try bench.taken() != nil })
    }
  }

  @Test func aHangEndsWithAReset() throws {
    let bench = try DriverBench(",misbehave=stall:on=transmit:after=3").start()
    for seed in 0..<8 { try bench.give(NICFrame.plain(64, seed: seed)) }
    var frames = 0
    #expect(
      try bench.until {
        if bench.sent() != nil { frames += 1 }
        return frames == 4
      })
    for _ in 0..<3 { try bench.driver.timer(0) }
    #expect(bench.driver.counted[.hangs] == 1)
    #expect(try bench.until { try bench.driver.link().isUp })
    try bench.give(NICFrame.plain(99))
    #expect(try bench.until { bench.sent() == NICFrame.plain(99) })
  }

  @Test func noticesThatItIsGone() throws {
    let bench = try DriverBench(",misbehave=vanish:on=receive").start()
    try bench.arrive(NICFrame.plain(64))
    var code: FailureCode?
    _ = try bench.until {
      do throws(DriverFailure) { _ = try bench.driver.link() } catch { code = error.code }
      return code != nil
    }
    #expect(code == .deviceGone)
  }

  @Test func aResetThatNeverEnds() throws {
    let bench = try DriverBench(",misbehave=never-ready")
    let failure = #expect(throws: DriverFailure.self) { try bench.driver.start() }
    #expect(failure?.code == .timeout)
  }

  @Test(arguments: [
    "bad-length:at=0:count=5", "bad-length:at=2049:count=5", "bad-length:at=65535:count=5", "no-end:count=5",
    "no-data:count=5", "false-checksum:count=5", "run-ahead:by=5:count=2", "run-ahead:by=16:count=1",
    "run-ahead:by=200:count=3", "stray-write:count=5", "duplicate:count=5",
    "bad-head:at=0xFFFF:count=5", "spurious-interrupt:count=5", "link-flap:for=20ms",
  ])
  func outlivesLies(misbehaviour: String) throws {
    let bench = try DriverBench(",misbehave=\(misbehaviour)").start()
    let marked = NICFrame.plain(100, seed: 200)
    // What it lied about may be lost or wrong; what comes when it no longer lies is right.
    for seed in 0..<20 {
      try bench.arrive(NICFrame.plain(64, seed: seed))
      try bench.give(NICFrame.plain(64, seed: seed))
    }
    // For a while, so that it does meet the lies; a quarter of the ring may be behind then.
    let end = monotonicNow() + 30_000_000
    _ = try bench.until {
      _ = try bench.taken()
      return monotonicNow() > end
    }
    #expect(try bench.until { try bench.driver.link().isUp })
    var isThere = false
    for _ in 0..<200 where !isThere {
      try bench.arrive(marked)
      let pause = monotonicNow() + 500_000
      _ = try bench.until {
        if try bench.taken()?.bytes == marked { isThere = true }
        return isThere || monotonicNow() > pause
      }
    }
    #expect(isThere)
    try bench.give(marked)
    #expect(try bench.until { bench.sent() == marked })
  }
}
