import Platform
import Protocol
import Testing
import VFIO

@testable import Emulation

/// Config space, registers, reset, NVM, PHY, statistics.
@Suite struct NICRegisterTests {
  /// Offsets as the datasheet's table 10-3 has them, spelled out once more.
  @Test(
    arguments: [
      (E1000ERegister.ctrl, 0x0), (E1000ERegister.status, 0x8), (E1000ERegister.eecd, 0x10),
      (E1000ERegister.eerd, 0x14), (E1000ERegister.ctrlExt, 0x18), (E1000ERegister.mdic, 0x20),
      (E1000ERegister.vet, 0x38), (E1000ERegister.icr, 0xC0), (E1000ERegister.ics, 0xC8), (E1000ERegister.ims, 0xD0),
      (E1000ERegister.imc, 0xD8), (E1000ERegister.eiac, 0xDC), (E1000ERegister.iam, 0xE0),
      (E1000ERegister.ivar, 0xE4), (E1000ERegister.eitr, 0xE8), (E1000ERegister.rctl, 0x100),
      (E1000ERegister.tctl, 0x400), (E1000ERegister.extcnfCtrl, 0xF00), (E1000ERegister.rdbal, 0x2800),
      (E1000ERegister.rdbah, 0x2804), (E1000ERegister.rdlen, 0x2808), (E1000ERegister.rdh, 0x2810),
      (E1000ERegister.rdt, 0x2818), (E1000ERegister.tdbal, 0x3800), (E1000ERegister.tdbah, 0x3804),
      (E1000ERegister.tdlen, 0x3808), (E1000ERegister.tdh, 0x3810), (E1000ERegister.tdt, 0x3818),
      (E1000ERegister.rxcsum, 0x5000), (E1000ERegister.rfctl, 0x5008), (E1000ERegister.mta, 0x5200),
      (E1000ERegister.ral, 0x5400), (E1000ERegister.rah, 0x5404), (E1000ERegister.vfta, 0x5600),
    ] as [(Int, Int)])
  func offsets(register: Int, offset: Int) { #expect(register == offset) }

  @Test(
    arguments: [
      (E1000EStatistics.Counter.missed, 0x4010), (E1000EStatistics.Counter.receivedSizes, 0x405C),
      (E1000EStatistics.Counter.received, 0x4074), (E1000EStatistics.Counter.receivedBroadcast, 0x4078),
      (E1000EStatistics.Counter.receivedMulticast, 0x407C), (E1000EStatistics.Counter.sent, 0x4080),
      (E1000EStatistics.Counter.receivedOctets, 0x4088), (E1000EStatistics.Counter.sentOctets, 0x4090),
      (E1000EStatistics.Counter.noBuffer, 0x40A0), (E1000EStatistics.Counter.undersize, 0x40A4),
      (E1000EStatistics.Counter.oversize, 0x40AC), (E1000EStatistics.Counter.totalReceivedOctets, 0x40C0),
      (E1000EStatistics.Counter.totalSentOctets, 0x40C8), (E1000EStatistics.Counter.totalReceived, 0x40D0),
      (E1000EStatistics.Counter.totalSent, 0x40D4), (E1000EStatistics.Counter.sentSizes, 0x40D8),
      (E1000EStatistics.Counter.sentMulticast, 0x40F0), (E1000EStatistics.Counter.sentBroadcast, 0x40F4),
      (E1000EStatistics.Counter.segmented, 0x40F8),
    ] as [(Int, Int)])
  func counters(register: Int, offset: Int) { #expect(register == offset) }

  @Test func isAnIntelFunction() throws {
    let host = try NICHost()
    let backing = host.backing
    #expect(try backing.readConfig(offset: 0, width: .dword) == 0x10D3_8086)
    #expect(try backing.readConfig(offset: 8, width: .dword) >> 8 == 0x020000)
    let structure = try #require(
      try MSIXProbe.find { offset, width throws(Failure) in try backing.readConfig(offset: offset, width: width) })
    #expect(structure.bar == 3)
    #expect(try backing.interruptCount(.msix) == 5)
    #expect(backing.regions.map(\.bar) == [0, 3])
    #expect(backing.regions.map(\.size) == [0x20000, 0x4000])
    #expect(try backing.mappableRanges(bar: 0).map(\.length) == [0x20000])
    #expect(try backing.mappableRanges(bar: 3).isEmpty)
  }

  @Test func nothingIsThereWithoutMemoryDecoding() throws {
    let host = try NICHost()
    try host.backing.setMemoryEnable(false)
    #expect(try host.read(0x8) == .max)
    try host.backing.setMemoryEnable(true)
    #expect(try host.read(0x8) != .max)
  }

  @Test func resetRestoresDefaults() throws {
    let host = try NICHost().start()
    for offset in [0x100, 0x400, 0xE4, 0xDC, 0xD0] { #expect(try host.read(offset) != 0) }
    try host.write(0x5200, 7)
    try host.write(0x0000, 1 << 26)
    #expect(try host.read(0x0000) & 1 << 26 == 0, "CTRL.RST clears itself")
    for offset in [0x100, 0x400, 0xE4, 0xDC, 0xD0, 0xC0, 0x5200, 0x2800, 0x2810, 0x2818, 0x3818] {
      #expect(try host.read(offset) == 0)
    }
    #expect(host.memory32(0x5400) == 0x1200_5452 && host.memory32(0x5404) == 0x8000_5634)
  }

  @Test func functionResetKeepsTheCommandRegister() throws {
    let host = try NICHost().start()
    try host.backing.reset()
    #expect(try host.read(0x100) == 0)
    #expect(try host.backing.readConfig(offset: 4, width: .word) == 6)
  }

  @Test func masterDisableEndsRequests() throws {
    let host = try NICHost().start()
    #expect(try host.read(0x8) & 1 << 19 != 0)
    try host.write(0x0, 1 << 6 | 1 << 2)
    #expect(try host.read(0x8) & 1 << 19 == 0)
    try host.transmit(NICFrame.plain(64))
    #expect(host.sent() == nil)
    try host.write(0x0, 1 << 6)
    #expect(host.sent() != nil)
  }

  @Test func nvm() throws {
    let host = try NICHost()
    var words: [UInt16] = []
    for index in 0..<64 as Range<UInt32> {
      try host.write(0x14, index << 2 | 1)
      let value = try host.read(0x14)
      #expect(value & 2 == 2, "DONE")
      words.append(UInt16(value >> 16))
    }
    #expect(words[..<3] == [0x5452, 0x1200, 0x5634])
    #expect(words.reduce(0, &+) == 0xBABA)
  }

  @Test func addressesDifferByDevice() throws {
    func address(_ pci: String) throws -> HardwareAddress {
      var options = try EmulationOptions(parsing: "e1000e,wire=none")
      options.address = pci
      let backing = try EmulatedE1000EBacking(options, wire: EventDescriptor.make(), loop: EventLoop())
      return backing.nic.permanentAddress
    }
    let addresses = try [address("ffff:00:00.0"), address("ffff:01:00.0"), address("ffff:0a:00.0")]
    #expect(Set(addresses).count == 3 && addresses.allSatisfy { $0.isUsable })
  }

  @Test func phy() throws {
    let host = try NICHost().start()
    func phy(_ number: UInt32, _ operation: UInt32 = 2, _ value: UInt32 = 0, address: UInt32 = 1) throws -> UInt32 {
      try host.write(0x20, operation << 26 | address << 21 | number << 16 | value)
      return try host.read(0x20)
    }
    #expect(try phy(2) == 0x1822_0141, "ready, and what was asked")
    #expect(try phy(3) & 0xFFFF == 0x0CB1)
    #expect(try phy(1) & 0x24 == 0x24, "negotiated, link")
    #expect(try phy(2, address: 2) >> 30 & 1 == 1, "nobody there")
    #expect(try host.read(0x8) & 2 == 2)
    _ = try phy(0, 1, 0x1940)
    #expect(try host.read(0x8) & 2 == 0, "powered down")
    _ = try phy(0, 1, 0x1140)
    #expect(try host.read(0x8) & 0xC3 == 0x83, "up, 1000 Mb/s, full duplex")
  }

  @Test func withoutAWireThereIsNoLink() throws {
    let host = try NICHost("e1000e,wire=none").start()
    #expect(try host.read(0x8) & 2 == 0)
    let unplugged = try NICHost("e1000e,wire=x,link=off").start()
    #expect(try unplugged.read(0x8) & 2 == 0)
  }

  @Test func statisticsAreClearedByReading() throws {
    let host = try NICHost().start()
    try host.transmit(NICFrame.plain(100))
    try host.transmit(NICFrame.plain(42))
    try host.transmit(NICFrame.plain(64, to: [255, 255, 255, 255, 255, 255]))
    try host.transmit(NICFrame.plain(64, to: [1, 0, 0x5E, 0, 0, 1]))
    #expect(try [0x4080, 0x4080].map { try host.read($0) } == [4, 0])
    #expect(try [0x40F0, 0x40F4].map { try host.read($0) } == [1, 1])
    #expect(try host.read(0x4090) == 104 + 64 + 68 + 68, "with check sequences; the short one was padded")
    #expect(try host.read(0x4090) == 304, "the lower half is not cleared by reading it")
    #expect(try host.read(0x4094) == 0)
    #expect(try host.read(0x4090) == 0, "the upper half clears both")
    try host.arrive(NICFrame.plain(80))
    try host.arrive(NICFrame.plain(80, to: [255, 255, 255, 255, 255, 255]))
    #expect(try [0x4074, 0x4078, 0x407C, 0x4088].map { try host.read($0) } == [2, 1, 0, 168])
  }
}
