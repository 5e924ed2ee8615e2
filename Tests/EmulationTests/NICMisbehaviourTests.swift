import CBulkhead
import Platform
import Testing

@testable import Emulation

/// A NIC that lies.
@Suite struct NICMisbehaviourTests {
  private func host(_ misbehaviour: String) throws -> NICHost {
    try NICHost("e1000e,wire=test,mac=52:54:00:12:34:56,misbehave=\(misbehaviour)").start()
  }

  @Test(arguments: [0, 1, 2049, 0xFFFF]) func badLength(length: Int) throws {
    let host = try host("bad-length:at=\(length):every=2")
    let lengths = try (0..<4).map { _ in
      try host.arrive(NICFrame.plain(64))
      return try host.take()?.length
    }
    #expect(lengths == [64, length, 64, length])
  }

  @Test func noData() throws {
    let host = try host("no-data:count=1")
    try host.arrive(NICFrame.plain(64))
    let got = try #require(try host.take())
    #expect(got.status & 3 == 3 && got.bytes == [UInt8](repeating: 0, count: 64))
    try host.arrive(NICFrame.plain(64))
    #expect(try host.take()?.bytes == NICFrame.plain(64))
  }

  @Test func noEnd() throws {
    let host = try host("no-end:after=1")
    for round in 0..<3 {
      try host.arrive(NICFrame.plain(64))
      #expect(try host.take()?.status == (round == 0 ? 7 : 1))
    }
  }

  @Test func falseChecksum() throws {
    let host = try host("false-checksum")
    let (frame, _, transport) = NICFrame.ip(version: 4, kind: 6, payload: 99)
    try host.arrive(frame)
    let got = try #require(try host.take())
    #expect(got.status == 0x63 && got.errors == 0, "it says that all is well")
    #expect(!NICFrame.isIntact(got.bytes, version: 4, kind: 6, network: 14, transport: transport))
  }

  @Test func runAhead() throws {
    let host = try host("run-ahead:by=20:count=1:on=receive")
    try host.arrive(NICFrame.plain(64))
    for _ in 0..<16 { #expect(try host.take() != nil, "all of the ring, what was not given too") }
    #expect(host.memory32(0x2810) == 1, "but the head is where it was")
    let other = try self.host("run-ahead:by=3:count=1:on=transmit")
    try other.transmit(NICFrame.plain(64))
    #expect((0..<5).map(other.isDone) == [true, true, true, true, false])
  }

  @Test func strayWrite() throws {
    let host = try host("stray-write:count=1")
    try host.arrive(NICFrame.plain(64))
    #expect(host.backing.faults.map(\.address) == [0xDEAD_0000])
    #expect(host.backing.faults.first?.access == .deviceWrites)
  }

  @Test func duplicate() throws {
    let host = try host("duplicate")
    try host.arrive(NICFrame.plain(64))
    #expect(try [host.take()?.bytes, host.take()?.bytes] == [NICFrame.plain(64), NICFrame.plain(64)])
    #expect(try host.take() == nil)
    try host.transmit(NICFrame.plain(64))
    #expect([host.sent(), host.sent()] == [NICFrame.plain(64), NICFrame.plain(64)])
    #expect(host.sent() == nil)
  }

  @Test func badHead() throws {
    let host = try host("bad-head:at=0x9999")
    try host.arrive(NICFrame.plain(64))
    #expect(host.memory32(0x2810) == 0x9999)
    try host.transmit(NICFrame.plain(64))
    #expect(host.memory32(0x3810) == 0x9999)
    try host.arrive(NICFrame.plain(64))
    #expect(try host.take() != nil && host.take() != nil, "it knows better itself")
  }

  @Test func stallOfOneDirection() throws {
    let host = try host("stall:on=transmit:after=1")
    for _ in 0..<4 { try host.transmit(NICFrame.plain(64)) }
    #expect((0..<4).map(host.isDone) == [true, true, false, false], "the second is the last")
    try host.arrive(NICFrame.plain(64))
    #expect(try host.take() != nil)
    try host.write(0x0000, 1 << 26)
    try host.start()
    while host.sent() != nil {}
    try host.transmit(NICFrame.plain(64))
    #expect(host.isDone(0), "a reset ends it")
  }

  @Test func stallForAWhile() throws {
    let host = try host("stall:for=5ms:on=receive")
    try host.arrive(NICFrame.plain(64))
    try host.arrive(NICFrame.plain(65))
    #expect(try host.take() != nil && host.take() == nil)
    #expect(try host.wait { try host.take() != nil })
  }

  @Test func vanish() throws {
    let host = try host("vanish:for=5ms:on=receive")
    try host.arrive(NICFrame.plain(64))
    #expect(try [0x0, 0x8, 0xC0, 0x2810, 0x5400].allSatisfy { try host.read($0) == .max })
    #expect(try host.backing.readConfig(offset: 0, width: .word) == 0xFFFF)
    #expect(throws: Failure.self) { try host.backing.reset() }
    #expect(try host.wait { !host.backing.isVanished })
    try host.awaken()
    try host.start()
    try host.arrive(NICFrame.plain(64))
    #expect(try host.take() != nil)
  }

  @Test func linkFlap() throws {
    let host = try host("link-flap:for=5ms:on=transmit")
    try host.transmit(NICFrame.plain(64))
    #expect(try host.read(0x8) & 2 == 0)
    #expect(host.interrupts(2) == 1)
    _ = try host.read(0xC0)
    #expect(try host.wait { try host.read(0x8) & 2 == 2 })
    #expect(try host.wait { host.interrupts(2) == 1 })
  }

  @Test func interruptsThatAreLostOrTooMany() throws {
    let lost = try host("lost-interrupt:on=receive:count=1")
    try lost.arrive(NICFrame.plain(64))
    #expect(try lost.take() != nil && lost.interrupts(0) == 0)
    let spurious = try host("spurious-interrupt:on=transmit:count=1")
    try spurious.transmit(NICFrame.plain(64))
    #expect([spurious.interrupts(0), spurious.interrupts(1), spurious.interrupts(4)] == [1, 2, 1])
    let repeated = try host("repeated-interrupt:by=2ms:on=receive:count=1")
    try repeated.arrive(NICFrame.plain(64))
    var count: UInt64 = 0
    #expect(
      try repeated.wait {
        count += repeated.interrupts(0)
        return count == 2
      })
  }

  @Test func storm() throws {
    let host = try host("storm:for=10s:on=receive")
    try host.arrive(NICFrame.plain(64))
    host.drainInterrupts()
    for _ in 0..<5 { #expect(host.backing.service()) }
    #expect([host.interrupts(0), host.interrupts(4)] == [5, 5])
    let short = try self.host("storm:for=1ms:on=receive")
    try short.arrive(NICFrame.plain(64))
    #expect(try short.wait { !short.backing.service() })
  }

  @Test func neverReady() throws {
    let host = try host("never-ready:count=1")
    try host.write(0x0000, 1 << 26)
    #expect(try host.read(0x0000) >> 26 & 1 == 1)
    try host.write(0x0000, 0)
    #expect(try host.read(0x0000) >> 26 & 1 == 1)
    try host.write(0x0000, 1 << 26)
    #expect(try host.read(0x0000) >> 26 & 1 == 0, "once only")
  }

  @Test func optionsAreTextAndBack() throws {
    for kind in Misbehaviour.networkKinds {
      let rule = try Misbehaviour(parsing: kind + ":on=transmit", for: .e1000e)
      #expect(try Misbehaviour(parsing: rule.description, for: .e1000e) == rule)
    }
    let text = "e1000e,wire=bhw0,mac=02:00:00:00:00:07,link=off,vectors=3,seed=9,misbehave=bad-length:at=0:every=5"
    let options = try EmulationOptions(parsing: text)
    #expect(try EmulationOptions(parsing: options.description) == options)
    #expect(try EmulationOptions(parsing: options.textWithoutFile) == options)
    #expect(options.vectors == 3 && options.wire == "bhw0" && options.hardwareAddress?.bits == 0x0200_0000_0007)
    #expect(try EmulationOptions(parsing: "e1000e,wire=none").wire == nil)
    #expect(try EmulationOptions(parsing: "e1000e").vectors == 5)
  }

  @Test(arguments: [
    ("e1000e,file=x", "options of e1000e"), ("nvme,wire=x", "options are"), ("e1000e,mac=1:2:3:4:5:6", "such as"),
    ("e1000e,mac=01:00:00:00:00:00", "group"), ("e1000e,vectors=6", "from 1 to 5"), ("e1000e,wire=", "interface"),
    ("e1000e,misbehave=bad-status", "bad-length"), ("nvme,misbehave=bad-length", "bad-status"),
    ("e1000e,misbehave=stall:on=io", "receive"), ("nvme,misbehave=stall:on=receive", "admin"), ("e1000,wire=x", "nvme"),
  ])
  func nonsenseIsRefused(text: String, hint: String) {
    let failure = #expect(throws: Failure.self) { try EmulationOptions(parsing: text) }
    #expect(failure.map { $0.code == "emulation-option" && "\($0)".contains(hint) } == true)
  }
}
