import Platform
import Protocol
import Testing
import VFIO

@testable import Emulation

@Suite struct ControllerTests {
  @Test func configurationSpaceIsAnNVMeController() throws {
    let backing = try EmulatedNVMeBacking(EmulationOptions(), loop: EventLoop())
    #expect(try backing.readConfig(offset: 0, width: .dword) == 0x0010_1B36)
    #expect(try backing.readConfig(offset: 8, width: .dword) >> 8 == 0x010802)
    let structure = try #require(
      try MSIXProbe.find { offset, width throws(Failure) in try backing.readConfig(offset: offset, width: width) })
    #expect(structure.vectors == 8)
    // No page that may be mapped holds the table.
    for range in try backing.mappableRanges(bar: structure.bar) {
      #expect(structure.table >= range.offset + range.length || structure.table < range.offset)
    }
    #expect(throws: Failure.self) { try backing.readConfig(offset: 2, width: .dword) }
    #expect(throws: Failure.self) { try backing.readConfig(offset: 4096, width: .byte) }
    try backing.writeConfig(offset: 0, width: .word, value: 0x1234)
    #expect(try backing.readConfig(offset: 0, width: .word) == 0x1B36, "ids are read-only")
    backing.close()
    #expect(throws: Failure.self) { try backing.readConfig(offset: 0, width: .word) }
  }

  @Test func enablesAndIdentifies() throws {
    let host = try Host("nvme,size=16M,lba=4096,namespaces=2,atomic=8").start()
    let capabilities = UInt64(host.read32(0)) | UInt64(host.read32(4)) << 32
    #expect(capabilities & 0xFFFF == 1023)
    #expect(capabilities >> 37 & 1 == 1)
    #expect(host.read32(8) == 0x0001_0400)
    #expect(try host.admin(0x06, prp1: Host.iova(Host.data), d10: 1)?.status == 0)
    let controller = host.bytes(Host.data, 4096)
    #expect(controller[77] == 8)
    #expect(Array(controller[512...513]) == [0x66, 0x44])
    #expect(controller[516] == 2)
    #expect(controller[525] & 1 == 1)
    #expect(controller[528] == 7, "AWUPF is 0's based")
    #expect(String(decoding: controller[4..<24], as: UTF8.self) == "EMU0001             ")
    #expect(try host.admin(0x06, namespace: 2, prp1: Host.iova(Host.data), d10: 0)?.status == 0)
    let namespace = host.bytes(Host.data, 4096)
    #expect(namespace[0..<8].reversed().reduce(0) { $0 << 8 | UInt64($1) } == 4096)
    #expect(namespace[130] == 12)
    #expect(try host.admin(0x06, namespace: 0, prp1: Host.iova(Host.data), d10: 2)?.status == 0)
    #expect(Array(host.bytes(Host.data, 12)) == [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
    #expect(try host.admin(0x06, namespace: 1, prp1: Host.iova(Host.data), d10: 3)?.status == 0)
    #expect(Array(host.bytes(Host.data, 7)) == [1, 8, 0, 0, 0x52, 0x54, 0x00])
    #expect(try host.admin(0x06, namespace: 3, prp1: Host.iova(Host.data), d10: 0)?.status == 0x0B)
    #expect(try host.admin(0x06, prp1: Host.iova(Host.data), d10: 0x77)?.status == 0x02)
  }

  @Test func refusesBadAdminQueues() throws {
    let host = try Host()
    try host.write32(0x24, 0)
    try host.write32(0x28, UInt32(Host.arena))
    try host.write32(0x30, UInt32(Host.arena) + 4096)
    try host.write32(0x14, 1)
    #expect(host.status == 2, "an admin queue of one entry: CFS, never ready")
    #expect(try host.enable(), "a reset recovers")
  }

  @Test func resetForgetsTheQueues() throws {
    let host = try Host().start()
    try host.write32(0x14, 0)
    #expect(host.status == 0)
    #expect(try host.enable())
    // The I/O queue is gone: its doorbell has no meaning, the admin queue works.
    host.placeIO(0)
    try host.ring(1)
    #expect(try host.take(1) == nil)
    #expect(try host.admin(0x06, prp1: Host.iova(Host.data), d10: 1)?.status == 0)
  }

  @Test func shutsDown() throws {
    let host = try Host("nvme,journal=on").start()
    host.fill(Host.data, 512, 7)
    #expect(try host.io(1, prp1: Host.iova(Host.data))?.status == 0)
    try host.write32(0x14, 4 << 20 | 6 << 16 | 1 << 14 | 1)
    #expect(host.status >> 2 & 3 == 2)
    host.placeIO(0)
    try host.ring(1)
    #expect(try host.take(1) == nil, "nothing is fetched after shutdown")
    #expect(host.backing.powerLoss().lost == 0, "a normal shutdown flushed")
  }

  struct QueueCommand: Sendable {
    var opcode: UInt8
    var size: UInt32
    var queue: UInt32
    var d11: UInt32
    var status: UInt16
    var why: String
  }

  static let badQueueCommands: [QueueCommand] = [
    QueueCommand(opcode: 5, size: 15, queue: 0, d11: 3, status: 0x101, why: "the admin queue"),
    QueueCommand(opcode: 5, size: 15, queue: 5, d11: 3, status: 0x101, why: "beyond the queues there are"),
    QueueCommand(opcode: 5, size: 15, queue: 1, d11: 3, status: 0x101, why: "exists"),
    QueueCommand(opcode: 5, size: 0, queue: 2, d11: 3, status: 0x102, why: "one entry"),
    QueueCommand(opcode: 5, size: 0xFFFF, queue: 2, d11: 3, status: 0x102, why: "more than MQES"),
    QueueCommand(opcode: 5, size: 15, queue: 2, d11: 0x63_0003, status: 0x108, why: "no such vector"),
    QueueCommand(opcode: 5, size: 15, queue: 2, d11: 2, status: 0x002, why: "not contiguous"),
    QueueCommand(opcode: 1, size: 15, queue: 2, d11: 0x2_0001, status: 0x100, why: "no such completion queue"),
    QueueCommand(opcode: 1, size: 15, queue: 1, d11: 0x1_0001, status: 0x101, why: "exists"),
    QueueCommand(opcode: 0, size: 0, queue: 3, d11: 0, status: 0x101, why: "nothing to delete"),
    QueueCommand(opcode: 4, size: 0, queue: 3, d11: 0, status: 0x101, why: "nothing to delete"),
    QueueCommand(opcode: 4, size: 0, queue: 1, d11: 0, status: 0x10C, why: "in use"),
    QueueCommand(opcode: 0x77, size: 0, queue: 0, d11: 0, status: 0x001, why: "no such command"),
  ]

  @Test(arguments: badQueueCommands)
  func refusesBadQueueCommands(_ command: QueueCommand) throws {
    let host = try Host().start()
    let done = try host.admin(
      command.opcode, prp1: Host.iova(4 * 4096), d10: command.size << 16 | command.queue, d11: command.d11)
    #expect(done?.status == command.status, "\(command.why)")
  }

  @Test func deletesQueues() throws {
    let host = try Host().start()
    #expect(try host.admin(0x00, d10: 1)?.status == 0)
    #expect(try host.admin(0x04, d10: 1)?.status == 0)
    #expect(try host.admin(0x04, d10: 1)?.status == 0x101)
  }

  @Test func features() throws {
    let host = try Host("nvme,queues=3")
    try host.enable()
    #expect(try host.admin(0x09, d10: 7, d11: 0x000F_000F)?.value == 0x0002_0002)
    #expect(try host.admin(0x0A, d10: 6)?.value == 1)
    #expect(try host.admin(0x09, d10: 6, d11: 0)?.status == 0)
    #expect(try host.admin(0x0A, d10: 6)?.value == 0)
    #expect(try host.admin(0x0A, d10: 0x106)?.value == 1, "the default")
    #expect(try host.admin(0x09, d10: 0x0B, d11: 0x1FF)?.status == 0)
    #expect(try host.admin(0x0A, d10: 0x0B)?.value == 0x1FF)
    #expect(try host.admin(0x09, d10: 0x80, d11: 1)?.status == 0x02)
    #expect(try host.admin(0x09, d10: 1 << 31 | 6, d11: 1)?.status == 0x10D)
    try host.start()
    #expect(try host.admin(0x09, d10: 7, d11: 0)?.status == 0x0C, "too late")
  }

  @Test func logPages() throws {
    let host = try Host().start()
    #expect(try host.admin(0x02, prp1: Host.iova(Host.data), d10: 127 << 16 | 2)?.status == 0)
    #expect(host.bytes(Host.data, 5) == [0, 44, 1, 100, 10])
    #expect(try host.admin(0x02, prp1: Host.iova(Host.data), d10: 0 << 16 | 2, d12: 4)?.status == 0)
    #expect(host.bytes(Host.data, 1) == [10], "from offset 4")
    #expect(try host.admin(0x02, prp1: Host.iova(Host.data), d10: 0xEE)?.status == 0x109)
  }

  @Test func invalidDoorbellsAreEvents() throws {
    let host = try Host().start()
    let request = host.place(0, 0x0C)
    try host.ring(0)
    #expect(try host.take(0) == nil, "held until something happens")
    try host.write32(0x1008, 999)
    let event = try #require(try host.take(0))
    #expect(event.identifier == request)
    #expect(event.value == 0x01_01_00, "error, invalid doorbell value, log page 1")
    // The queue itself is none the worse.
    #expect(try host.io(0)?.status == 0)
    // A completion queue's head can only move over what was posted.
    #expect(try host.admin(0x02, prp1: Host.iova(Host.data), d10: 15 << 16 | 1)?.status == 0)
    host.place(0, 0x0C)
    try host.ring(0)
    try host.write32(0x100C, 9)
    #expect(try host.take(0)?.value == 0x01_01_00)
    // Too many requests.
    let held = host.place(0, 0x0C)
    try host.ring(0)
    for _ in 0..<3 { #expect(try host.admin(0x0C) == nil) }
    #expect(try host.admin(0x0C)?.status == 0x105)
    // Abort takes one back, before its own completion.
    let abort = host.place(0, 0x08, d10: UInt32(held) << 16)
    try host.ring(0)
    let done = try host.take(0)
    #expect(done?.identifier == held && done?.status == 0x07)
    #expect(try host.take(0)?.identifier == abort)
  }

  @Test func aFullCompletionQueueHoldsThingsBack() throws {
    let host = try Host().start()
    // 15 commands fill the submission queue and the completion queue; nothing is taken from the latter.
    for _ in 0..<15 { host.placeIO(0) }
    try host.ring(1)
    host.placeIO(0)
    try host.ring(1)
    #expect(host.backing.commandCount == 2 + 15, "the last one waits")
    for _ in 0..<16 { #expect(try host.take(1)?.status == 0) }
    #expect(try host.take(1) == nil)
  }

  @Test func interruptsOncePerBatch() throws {
    let host = try Host().start()
    for _ in 0..<5 { host.placeIO(0) }
    try host.ring(1)
    #expect(host.interrupts(1) == 1)
    #expect(host.interrupts(0) == 0)
    try host.backing.setInterrupt(.msix, vector: 1, eventfd: nil)
    #expect(try host.io(0) != nil)
    #expect(host.interrupts(1) == 0)
    #expect(throws: Failure.self) { try host.backing.wireInterrupts(.msi, eventfds: [1]) }
    #expect(throws: Failure.self) { try host.backing.setInterrupt(.msix, vector: 2, eventfd: 1) }
  }

  @Test func ignoresRegistersWithoutMemoryDecoding() throws {
    let host = try Host()
    try host.backing.setMemoryEnable(false)
    #expect(host.read32(0) == .max)
    #expect(try host.enable() == false)
    try host.backing.setMemoryEnable(true)
    #expect(!host.backing.service(), "what was written meanwhile went nowhere")
    #expect(host.read32(0x14) == 0)
    #expect(host.read32(8) == 0x0001_0400)
    try host.start()
    // The state stays, whether it can be seen or not.
    try host.backing.setMemoryEnable(false)
    try host.backing.setMemoryEnable(true)
    #expect(host.status == 1)
    #expect(try host.io(0)?.status == 0)
  }

  @Test func runsOnTheLoopAndSleeps() throws {
    let host = try Host("nvme,spin=1ms").start()
    host.placeIO(0)
    host.loop.after(2_000_000) { try? host.ring(1) }
    host.loop.watch(host.vectors[1]) { _ in
      host.drainInterrupts()
      host.loop.stop()
    }
    try host.loop.run()
    #expect(try host.take(1)?.status == 0)
    host.loop.after(20_000_000) { host.loop.stop() }
    try host.loop.run()
    #expect(host.read32(DriverFile.bellWantedOffset) == 0x5555_5575, "it sleeps, so it wants the bell")
    let before = host.loop.wakeups
    host.loop.after(20_000_000) { host.loop.stop() }
    try host.loop.run()
    #expect(host.loop.wakeups - before <= 2, "an idle controller costs nothing")
  }

  /// Room in a completion queue is of interest to nobody but a controller that has none.
  @Test func hearsOfCompletionsOnlyWhileItNeedsRoom() throws {
    let host = try Host().start()
    func rest() throws {
      host.loop.after(1_000_000) { host.loop.stop() }
      try host.loop.run()
    }
    for _ in 0..<15 { host.placeIO(0) }
    try host.ring(1)
    try rest()
    #expect(host.read32(DriverFile.bellWantedOffset) == 0x5555_5575, "all are done, and no other has come")
    for _ in 0..<5 { host.placeIO(0) }
    try host.ring(1)
    try rest()
    #expect(host.read32(DriverFile.bellWantedOffset) == .max)
    for _ in 0..<20 { #expect(try host.take(1)?.status == 0) }
    try rest()
    #expect(host.read32(DriverFile.bellWantedOffset) == 0x5555_5575)
  }
}

/// Finds the MSI-X capability as a driver would.
enum MSIXProbe {
  static func find(
    _ read: (Int, ConfigWidth) throws(Failure) -> UInt32
  ) throws(Failure) -> (vectors: Int, bar: Int, table: UInt64)? {
    var offset = Int(try read(0x34, .byte))
    while offset != 0 {
      let header = try read(offset, .word)
      if header & 0xFF == 0x11 {
        let table = try read(offset + 4, .dword)
        return (Int(try read(offset + 2, .word) & 0x7FF) + 1, Int(table & 7), UInt64(table & ~7))
      }
      offset = Int(header >> 8)
    }
    return nil
  }
}
