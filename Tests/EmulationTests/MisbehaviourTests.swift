import CBulkhead
import Platform
import Testing

@testable import Emulation

@Suite struct MisbehaviourTests {
  private func host(_ misbehaviour: String, _ more: String = "") throws -> Host {
    try Host("nvme,size=1M,misbehave=\(misbehaviour)\(more)").start()
  }

  @Test func badStatus() throws {
    let host = try host("bad-status:code=0x286:on=io:every=3")
    let statuses = try (0..<9).map { _ in try host.io(0)?.status }
    #expect(statuses == [0, 0, 0x286, 0, 0, 0x286, 0, 0, 0x286])
  }

  @Test func badStatusDoesNothingElse() throws {
    let host = try host("bad-status:on=read")
    host.fill(Host.data, 512, 0xAB)
    #expect(try host.io(2, prp1: Host.iova(Host.data))?.status == 0x281)
    #expect(host.bytes(Host.data, 512) == [UInt8](repeating: 0xAB, count: 512))
  }

  @Test func unknownIdentifier() throws {
    let host = try host("unknown-id:on=io:count=1")
    let identifier = host.placeIO(0)
    try host.ring(1)
    let done = try #require(try host.take(1))
    #expect(done.identifier != identifier && done.identifier >= 0xFFF0)
    #expect(try host.take(1) == nil, "the right one never comes")
    #expect(try host.io(0)?.status == 0)
  }

  @Test func duplicate() throws {
    let host = try host("duplicate:on=io")
    let identifier = host.placeIO(0)
    try host.ring(1)
    #expect(try host.take(1)?.identifier == identifier)
    #expect(try host.take(1)?.identifier == identifier)
    #expect(try host.take(1) == nil)
  }

  @Test func lateCommandsAreOvertaken() throws {
    let host = try host("late:by=3ms:on=io:count=1")
    let late = host.placeIO(0)
    let prompt = host.placeIO(0)
    try host.ring(1)
    #expect(try host.take(1)?.identifier == prompt)
    #expect(try host.take(1) == nil)
    #expect(try host.wait(1)?.identifier == late)
  }

  @Test func aLateCommandCanBeAborted() throws {
    let host = try host("late:by=10s:on=io:count=1")
    let late = host.placeIO(0)
    try host.ring(1)
    let abort = try host.admin(0x08, d10: UInt32(late) << 16 | 1)
    #expect(abort?.value == 0 && abort?.status == 0)
    let done = try host.take(1)
    #expect(done?.identifier == late && done?.status == 0x07)
    #expect(try host.admin(0x08, d10: UInt32(late) << 16 | 1)?.value == 1, "nothing left to abort")
  }

  @Test func aLateCommandDiesWithItsQueue() throws {
    let host = try host("late:by=2ms:on=io:count=1")
    let late = host.placeIO(0)
    try host.ring(1)
    #expect(try host.admin(0x00, d10: 1)?.status == 0)
    let done = try host.take(1)
    #expect(done?.identifier == late && done?.status == 0x08)
    #expect(try host.wait(1, turns: 10) == nil)
  }

  @Test func aLateCommandDoesNotSurviveAReset() throws {
    let host = try host("late:by=2ms:on=io:count=1")
    host.placeIO(0)
    try host.ring(1)
    try host.start()
    #expect(try host.wait(1, turns: 10) == nil)
    #expect(try host.io(0)?.status == 0)
  }

  @Test func lostInterrupt() throws {
    let host = try host("lost-interrupt:on=io:every=2")
    for round in 1...4 {
      #expect(try host.io(0) != nil, "the completion is there")
      #expect(host.interrupts(1) == (round % 2 == 0 ? 0 : 1))
    }
  }

  @Test func spuriousInterrupt() throws {
    let host = try host("spurious-interrupt:on=io:count=1")
    #expect(try host.io(0) != nil)
    #expect(host.interrupts(0) == 1, "a vector with nothing to show")
    #expect(host.interrupts(1) == 2)
  }

  @Test func repeatedInterrupt() throws {
    let host = try host("repeated-interrupt:by=1ms:on=io:count=1")
    #expect(try host.io(0) != nil)
    #expect(host.interrupts(1) == 1)
    var again: UInt64 = 0
    for _ in 0..<100 where again == 0 {
      try host.loop.turn(waiting: 1_000_000)
      again = host.interrupts(1)
    }
    #expect(again == 1)
  }

  @Test func stallForEverEndsWithAReset() throws {
    let host = try host("stall:after=2:on=io")
    #expect(try host.io(0)?.status == 0)
    #expect(try host.io(0)?.status == 0)
    #expect(try host.io(0) == nil)
    #expect(try host.admin(0x0A, d10: 7) == nil, "the admin queue, too")
    #expect(host.status == 1, "it looks healthy")
    try host.start()
    #expect(try host.io(0)?.status == 0)
  }

  @Test func stallForAWhile() throws {
    let host = try host("stall:for=3ms:on=io")
    let first = host.placeIO(0)
    let second = host.placeIO(0)
    try host.ring(1)
    #expect(try host.take(1) == nil)
    let order = [try host.wait(1)?.identifier, try host.wait(1)?.identifier]
    #expect(Set(order) == [first, second])
    #expect(try host.io(0)?.status == 0)
  }

  @Test func vanish() throws {
    let host = try host("vanish:after=1:on=io")
    #expect(try host.io(0)?.status == 0)
    #expect(try host.io(0) == nil)
    #expect(host.backing.isVanished)
    #expect(host.status == .max)
    try host.write32(0x14, 0)
    #expect(host.read32(0x14) == .max, "writes go nowhere")
    #expect(try host.backing.readConfig(offset: 0, width: .word) == 0xFFFF)
    #expect(throws: Failure.self) { try host.backing.reset() }
    // As with a real one: who writes to configuration space learns nothing.
    try host.backing.setBusMaster(true)
    try host.backing.setMemoryEnable(true)
    #expect(host.status == .max)
    try host.backing.setBusMaster(false)
    try host.backing.unmapArena(iova: Host.arena)
  }

  @Test func vanishForAWhile() throws {
    let host = try host("vanish:for=2ms:on=io")
    #expect(try host.io(0) == nil)
    for _ in 0..<100 where host.backing.isVanished { try host.loop.turn(waiting: 1_000_000) }
    #expect(host.status == .max, "it is back, but its memory is not decoded")
    try host.awaken()
    #expect(host.status == 0)
    try host.start()
    #expect(try host.io(0)?.status == 0)
  }

  @Test func wrongPhase() throws {
    let host = try host("wrong-phase:on=io:count=1")
    #expect(try host.io(0) == nil)
    #expect(host.interrupts(1) == 1, "it says that there is something")
    #expect(host.bytes(Host.ioCompletion * 4096 + 12, 2) != [0, 0], "and there is, with the phase of the last lap")
  }

  @Test func badHead() throws {
    let host = try host("bad-head:at=0x1234:on=io")
    #expect(try host.io(0)?.head == 0x1234)
  }

  @Test func fatal() throws {
    let host = try host("fatal:after=1:on=io")
    #expect(try host.io(0)?.status == 0)
    #expect(try host.io(0) == nil)
    #expect(host.status == 3, "CFS and RDY")
    try host.start()
    #expect(try host.io(0)?.status == 0)
  }

  @Test func neverReady() throws {
    let host = try host("never-ready:after=1")
    #expect(try host.enable() == false)
    #expect(host.status == 0)
    host.backing.behave()
    #expect(try host.enable())
  }

  /// Registers are plain memory: what a driver writes between two looks of the controller is one change to it.
  @Test func aQuickResetIsNotMissed() throws {
    let host = try Host("nvme,size=1M,misbehave=never-ready:count=1")
    #expect(try host.enable() == false)
    let registers: [(Int, UInt32)] = [
      (0x14, 0), (0x24, 15 << 16 | 15), (0x28, UInt32(Host.arena)), (0x30, UInt32(Host.arena) + 4096),
      (0x14, 4 << 20 | 6 << 16 | 1),
    ]
    for (offset, value) in registers { bh_mmio_write32(host.bar.base + offset, value) }
    #expect(host.backing.service())
    #expect(host.status == 1)
  }

  @Test(arguments: [
    ("mdts=255", 1 as UInt32, 77, 255 as UInt8), ("mdts=0", 1, 77, 0), ("namespaces=4294967295", 1, 519, 255),
    ("entries=0x99", 1, 512, 0x99), ("lbads=63", 0, 130, 63), ("lbads=0", 0, 130, 0), ("format=15", 0, 26, 15),
    ("blocks=0xffffffffffffffff", 0, 7, 255),
  ])
  func identifyLies(_ lie: String, _ structure: UInt32, _ offset: Int, _ byte: UInt8) throws {
    let host = try host("identify:\(lie):count=1")
    #expect(try host.admin(0x06, namespace: 1, prp1: Host.iova(Host.data), d10: structure)?.status == 0)
    #expect(host.bytes(Host.data + offset, 1) == [byte])
    #expect(try host.admin(0x06, namespace: 1, prp1: Host.iova(Host.data), d10: structure)?.status == 0)
    #expect(host.bytes(Host.data + offset, 1) != [byte], "once only")
  }

  @Test func chanceIsDecidedByTheSeed() throws {
    func run(_ seed: Int) throws -> [UInt16?] {
      let host = try host("bad-status:on=io:chance=0.5", ",seed=\(seed)")
      return try (0..<64).map { _ in try host.io(0)?.status }
    }
    #expect(try run(1) == run(1))
    #expect(try run(1) != run(2))
    #expect(try Set(run(1)) == [0, 0x281])
  }

  @Test func misbehaviourCanComeLater() throws {
    let host = try Host().start()
    #expect(try host.io(0)?.status == 0)
    host.backing.misbehave(Misbehaviour(.badStatus(0x06), count: 1))
    #expect(try host.io(0)?.status == 0x06)
    #expect(try host.io(0)?.status == 0)
  }
}
