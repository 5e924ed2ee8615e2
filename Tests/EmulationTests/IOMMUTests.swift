import Platform
import Testing
import VFIO

@testable import Emulation

@Suite struct IOMMUTests {
  static let end = Host.arena + UInt64(Host.arenaSize)

  static let badAddresses: [(UInt64, UInt64, Int, EmulatedFault.Reason)] = [
    (0x4000_0000, 0, 8, .outside),
    (end, 0, 8, .outside),
    (Host.arena - 4096, 0, 8, .outside),
    (0xFFFF_FFFF_FFFF_F000, 0, 8, .overflow),
    (0xFFFF_FFFF_FFFF_FE00, 0, 1, .overflow),
    (end - 4096, end, 16, .outside),
    (Host.arena, 0x4000_0000, 16, .outside),
    (Host.arena, 0x4000_0000, 32, .outside),
  ]

  @Test(arguments: badAddresses)
  func stopsBadAddresses(_ prp1: UInt64, _ prp2: UInt64, _ count: Int, _ reason: EmulatedFault.Reason) throws {
    let host = try Host().start()
    for opcode in [1, 2] as [UInt8] {
      let before = host.backing.faultCount
      let done = try host.io(opcode, count: count, prp1: prp1, prp2: prp2)
      #expect(done?.status == 0x04, "Data Transfer Error")
      #expect(host.backing.faultCount == before + 1)
      let fault = try #require(host.backing.faults.last)
      #expect(fault.reason == reason)
      #expect(fault.queue == 1)
      #expect(fault.command == done?.identifier)
    }
    #expect(try host.io(2, prp1: Host.iova(Host.data))?.status == 0, "the controller goes on")
  }

  @Test func aTransferWithOneBadPageMovesNothing() throws {
    let host = try Host().start()
    host.fill(Host.data, 4096, 0xAB)
    let list = host.buildList(4, from: Host.data + 4096, at: 8 * 4096)
    host.memory(8 * 4096 + 24).storeBytes(of: Self.end, as: UInt64.self)
    #expect(try host.io(2, count: 40, prp1: Host.iova(Host.data), prp2: list)?.status == 0x04)
    #expect(host.bytes(Host.data, 4096) == [UInt8](repeating: 0xAB, count: 4096))
  }

  @Test func arenasEndWhereTheyEnd() throws {
    let iommu = SoftwareIOMMU()
    iommu.isBusMaster = true
    let memory = try SharedMemory(name: "arena", size: 8192)
    func arena(_ iova: UInt64, _ access: DMAAccess = .both) -> ArenaMapping {
      ArenaMapping(
        iova: iova, file: memory.file.number, base: memory.mapping.base, size: 8192, access: access)
    }
    try iommu.map(arena(0x10000))
    #expect(iommu.translate(0x10000, 8192, .deviceReads) == memory.mapping.base)
    #expect(iommu.translate(0x11FFF, 1, .deviceReads) == memory.mapping.base + 8191)
    #expect(iommu.translate(0x11FFF, 2, .deviceReads) == nil)
    #expect(iommu.faults.last?.reason == .straddles)
    #expect(iommu.translate(0xFFFF, 2, .deviceReads) == nil)
    #expect(iommu.faults.last?.reason == .outside)
    #expect(iommu.translate(.max, 2, .deviceReads) == nil)
    #expect(iommu.faults.last?.reason == .overflow)
    #expect(throws: Failure.self) { try iommu.map(arena(0x11000)) }
    #expect(throws: Failure.self) { try iommu.map(arena(0x10800)) }
    #expect(throws: Failure.self) { try iommu.map(arena(0xFFFF_FFFF_FFFF_F000)) }
    try iommu.map(arena(0x20000, .deviceReads))
    #expect(iommu.translate(0x20000, 16, .deviceReads) != nil)
    #expect(iommu.translate(0x20000, 16, .deviceWrites) == nil)
    #expect(iommu.faults.last?.reason == .denied)
    try iommu.unmap(iova: 0x20000)
    #expect(iommu.translate(0x20000, 16, .deviceReads) == nil)
    #expect(throws: Failure.self) { try iommu.unmap(iova: 0x20000) }
    for _ in 0..<200 { _ = iommu.translate(0, 1, .deviceReads) }
    #expect(iommu.faults.count == SoftwareIOMMU.faultLimit, "the list is bounded")
    #expect(iommu.faultCount > 200, "the count is not")
  }

  @Test func unmappedMemoryIsOutOfReach() throws {
    let host = try Host().start()
    let other = try SharedMemory(name: "payload", size: 65536)
    let mapping = ArenaMapping(
      iova: 0x2000_0000, file: other.file.number, base: other.mapping.base, size: 65536)
    try host.backing.mapArena(mapping)
    #expect(try host.io(2, prp1: 0x2000_0000)?.status == 0)
    try host.backing.unmapArena(iova: 0x2000_0000)
    #expect(try host.io(2, prp1: 0x2000_0000)?.status == 0x04)
  }

  @Test func withoutItsQueuesTheControllerIsFatal() throws {
    let host = try Host().start()
    var reported = 0
    host.backing.onFault = { _ in reported += 1 }
    try host.backing.unmapArena(iova: Host.arena)
    host.placeIO(0)
    try host.ring(1)
    #expect(host.status & 2 == 2)
    #expect(reported == 1)
  }

  @Test func busMasterOffMeansNoAccess() throws {
    let host = try Host().start()
    host.drainInterrupts()
    try host.backing.setBusMaster(false)
    host.placeIO(0)
    try host.ring(1)
    #expect(host.backing.faults.last?.reason == .busMasterOff)
    #expect(host.interrupts(1) == 0, "an MSI is a write, too")
    #expect(try host.take(1) == nil)
  }

  @Test func lateDMAMeetsTheIOMMU() throws {
    let host = try Host("nvme,misbehave=late:by=5ms:on=read").start()
    host.fill(Host.data, 512, 0xAB)
    host.placeIO(2, prp1: Host.iova(Host.data))
    try host.ring(1)
    try host.backing.setBusMaster(false)
    for _ in 0..<50 where host.backing.faultCount == 0 { try host.loop.turn(waiting: 1_000_000) }
    #expect(host.backing.faults.first?.reason == .busMasterOff)
    #expect(host.bytes(Host.data, 512) == [UInt8](repeating: 0xAB, count: 512))
  }
}
