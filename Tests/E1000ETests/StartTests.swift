import DriverKit
import Glibc
import Testing

@testable import E1000E

/// Reset, address, settings, filters, link, statistics.
@Suite struct StartTests {
  @Test func announcesThePort() throws {
    let bench = try Bench().start()
    #expect(
      bench.port
        == NetworkPort(
          address: Bench.address, maximumMTU: 9000,
          offloads: [.transmitChecksum, .transmitTCP4, .transmitTCP6, .receiveChecksum, .receiveTCP],
          queuePairs: 1,
          model: "Intel 82574L", firmware: "2.16"))
    #expect(bench.fake.resets == 1)
  }

  @Test func setsUpThreeVectors() throws {
    let bench = try Bench(options: ["moderation-us=128"]).start()
    #expect(bench.fake.registers[0x00E4] == 0x000A_0908)
    #expect([0xE8, 0xEC, 0xF0].map { bench.fake.registers[$0] } == [500, 500, 4000])
    #expect(bench.fake.registers[0x00DC] == 0x0050_0000)
    #expect(bench.fake.registers[0x00D0] == 0x0107_0244, "queues are not armed before the driver sleeps")
    try bench.driver.armInterrupts()
    #expect(bench.fake.registers[0x00D0] == 0x0117_0244, "nobody waits for frames to be sent")
  }

  @Test func interruptsOnceForManyFrames() throws {
    let bench = try Bench().start()
    try bench.driver.armInterrupts()
    for _ in 0..<5 { bench.fake.receive(Sample.frame(64)) }
    #expect(EventDescriptor.drain(bench.interrupts[0]) == 1)
    try bench.driver.interrupt(0)
    try bench.run()
    try bench.driver.armInterrupts()
    #expect(EventDescriptor.drain(bench.interrupts[0]) == 0, "what was polled does not interrupt")
    let accesses = bench.fake.accesses
    try bench.driver.armInterrupts()
    #expect(bench.fake.accesses == accesses, "what is armed is not armed again")
    bench.fake.receive(Sample.frame(64))
    #expect(EventDescriptor.drain(bench.interrupts[0]) == 1)
  }

  @Test func takesTheAddressFromTheNVM() throws {
    let bench = try Bench { $0.loadsAddress = false }.start()
    #expect(bench.port?.address == Bench.address)
  }

  @Test(arguments: [[0, 0, 0], [0xFFFF, 0xFFFF, 0xFFFF], [0x0001, 0x5E00, 0x0100]] as [[UInt16]])
  func refusesAnAddressThatNobodyMayHave(words: [UInt16]) throws {
    let bench = try Bench { fake in
      for index in 0..<3 { fake.nvm[index] = words[index] }
    }
    #expect(Bench.code { try bench.start() } == .unsupported)
  }

  @Test func bearsAWrongNVMChecksum() throws {
    let bench = try Bench { $0.nvm[20] = 0x1234 }.start()
    #expect(bench.port?.address == Bench.address)
  }

  @Test func noticesThatTheDeviceIsGone() throws {
    let bench = try Bench { $0.isGone = true }
    #expect(Bench.code { try bench.start() } == .deviceGone)
    let later = try Bench().start()
    later.fake.isGone = true
    #expect(Bench.code { try later.apply() } == .deviceGone)
    #expect(Bench.code { _ = try later.driver.statistics() } == .deviceGone)
    #expect(Bench.code { try later.driver.interrupt(2) } == .deviceGone)
    #expect(Bench.code { try later.driver.timer(0) } == .deviceGone)
  }

  @Test func givesUpAResetWithoutEnd() throws {
    let bench = try Bench { $0.resetNeverEnds = true }
    #expect(Bench.code { try bench.start() } == .timeout)
  }

  /// What is written while the registers are loaded is overwritten.
  @Test func waitsForTheNVM() throws {
    let bench = try Bench { $0.nvmControls = [1 << 8, 1 << 8, 1 << 8 | 1 << 9] }.start()
    #expect(bench.fake.nvmControls.count == 1)
    let never = try Bench { $0.nvmControls = [1 << 8] }
    #expect(Bench.code { try never.start() } == .timeout)
  }

  @Test func resetsThoughRequestsGoOn() throws {
    let bench = try Bench { $0.masterNeverEnds = true }.start()
    #expect(bench.fake.resets == 1)
  }

  @Test func knowsItsDevices() throws {
    #expect(Bench.code { _ = try Bench(deviceID: 0x100E) } == .unsupported)
    #expect(try Bench(deviceID: 0x10F6).start().port?.model == "Intel 82574LA")
  }

  @Test func wakesThePHY() throws {
    let bench = try Bench { $0.phy[0] = 0x0800 }.start()
    #expect(bench.fake.phy[0] == 0x1200)
    #expect(try Bench().start().fake.phy[0] == 0x1140, "a PHY that negotiates is left alone")
  }

  // MARK: Settings

  @Test func takesNothingBeforeSettings() throws {
    let bench = try Bench()
    _ = try bench.driver.start()
    #expect(!bench.fake.receive(Sample.frame(64)))
    try bench.apply { $0.isEnabled = false }
    #expect(!bench.fake.receive(Sample.frame(64)))
    try bench.apply()
    #expect(bench.fake.receive(Sample.frame(64)))
  }

  /// RCTL.EN is not cleared under traffic; what keeps frames out is the filter.
  @Test func aPortThatIsDownStillReceivesAndPassesNothing() throws {
    let bench = try Bench().start()
    let group = HardwareAddress(0x01, 0x00, 0x5E, 0x01, 0x02, 0x03)
    let wide: (inout NetworkSettings) -> Void = {
      $0.isPromiscuous = true
      $0.receivesAllMulticast = true
      $0.multicast = [group]
    }
    try bench.apply(wide)
    try bench.apply {
      wide(&$0)
      $0.isEnabled = false
    }
    #expect(bench.fake.registers[0x0100]! & 2 != 0)
    for destination in [Bench.address, group, HardwareAddress(bits: .max), HardwareAddress(2, 0, 0, 0, 0, 7)] {
      #expect(!bench.fake.receive(Sample.frame(64, to: destination)))
    }
    try bench.apply()
    #expect(bench.fake.receive(Sample.frame(64)))
    #expect(bench.fake.controlsWritten.allSatisfy { $0 & 2 != 0 }, "RCTL.EN was cleared")
  }

  @Test func doesWhatRealControllersNeed() throws {
    // Everything that is to be cleared was set.
    let bench = try Bench { $0.leftovers = [0x3840: 0xF << 27 | 1, 0x0018: 1 << 23, 0x5B00: 1] }.start()
    #expect(bench.fake.registers[0x5B00]! == 1 << 22 | 1, "GCR")
    #expect(bench.fake.registers[0x5B64]! == 1, "GCR2")
    #expect(bench.fake.registers[0x3840]! == 1 << 26 | 1, "TARC0")
    #expect(bench.fake.registers[0x0000]! >> 29 & 1 == 0, "CTRL")
    #expect(bench.fake.registers[0x0018]! >> 22 & 3 == 1, "CTRL_EXT")
  }

  @Test func filtersByAddress() throws {
    let bench = try Bench().start()
    let other = HardwareAddress(0x52, 0x54, 0x00, 0x12, 0x34, 0x57)
    #expect(!bench.fake.receive(Sample.frame(64, to: other)))
    #expect(bench.fake.receive(Sample.frame(64, to: HardwareAddress(bits: .max))))
    try bench.apply { $0.address = other }
    #expect(bench.fake.receive(Sample.frame(64, to: other)) && !bench.fake.receive(Sample.frame(64)))
    try bench.apply { $0.isPromiscuous = true }
    #expect(bench.fake.receive(Sample.frame(64, to: other)) && bench.fake.receive(Sample.frame(64)))
    try bench.apply()
    #expect(!bench.fake.receive(Sample.frame(64, to: other)))
  }

  @Test func filtersMulticast() throws {
    let bench = try Bench().start()
    let groups = (0..<64).map { HardwareAddress(0x01, 0x00, 0x5E, 0x01, UInt8($0 * 3), UInt8($0)) }
    #expect(!groups.contains { bench.fake.receive(Sample.frame(64, to: $0)) })
    try bench.apply { $0.multicast = groups }
    for group in groups { #expect(bench.fake.receive(Sample.frame(64, to: group))) }
    let stranger = HardwareAddress(0x01, 0x00, 0x5E, 0x01, 0xFF, 0xFF)
    #expect(!bench.fake.receive(Sample.frame(64, to: stranger)))
    try bench.apply { $0.receivesAllMulticast = true }
    #expect(bench.fake.receive(Sample.frame(64, to: stranger)))
    try bench.apply()
    #expect(!bench.fake.receive(Sample.frame(64, to: groups[5])))
  }

  @Test func followsTheMTU() throws {
    let bench = try Bench().start()
    func reaches(_ length: Int) throws -> Bool {
      #expect(bench.fake.receive(Sample.frame(length)))
      try bench.run()
      defer { try? bench.run() }
      return try bench.taken().map(\.bytes.count) == [length]
    }
    // 1500 bytes behind two tags: 1526 on the wire, more than are taken without RCTL.LPE.
    #expect(try reaches(1514) && reaches(1518) && reaches(1522))
    #expect(try !reaches(1523) && !reaches(2500))
    #expect(try bench.driver.statistics()[.droppedInbound] == 2)
    #expect(try bench.apply { $0.mtu = 9000 } == 0)
    #expect(try reaches(9022))
    #expect(try bench.apply { $0.mtu = 9001 } == EINVAL)
    #expect(try reaches(9022), "the settings are as before")
  }

  // MARK: Link and statistics

  @Test func reportsTheLink() throws {
    let bench = try Bench { $0.isLinkUp = false }.start()
    #expect(try bench.driver.link() == .down)
    bench.fake.isLinkUp = true
    bench.fake.raise(1 << 2)
    #expect(EventDescriptor.drain(bench.interrupts[2]) == 1)
    try bench.driver.interrupt(2)
    bench.fake.raise(1 << 2)
    #expect(EventDescriptor.drain(bench.interrupts[2]) == 1, "the first one was cleared")
    try bench.driver.interrupt(2)
    bench.fake.isLinkUp = false
    bench.fake.raise(1 << 2)
    #expect(EventDescriptor.drain(bench.interrupts[2]) == 1)
    try bench.driver.interrupt(2)
    let links = try bench.heard().compactMap { if case .networkLink(let link) = $0 { link } else { nil } }
    #expect(links == [NetworkLink(isUp: true, speed: 1000, isFullDuplex: true), .down])
  }

  @Test func addsUpStatistics() throws {
    let bench = try Bench { $0.registers[0x4074] = 99 }.start()
    for _ in 0..<2 {
      bench.fake.registers[0x4074] = 7
      bench.fake.registers[0x4088] = 0xFFFF_FFF0
      bench.fake.registers[0x408C] = 2
      bench.fake.registers[0x40F8] = 3
    }
    var statistics = try bench.driver.statistics()
    #expect(statistics[.receivedFrames] == 7 && statistics[.receivedOctets] == 0x2_FFFF_FFF0)
    #expect(statistics[.segmented] == 3)
    bench.fake.registers[0x4088] = nil
    bench.fake.registers[0x4074] = 1
    statistics = try bench.driver.statistics()
    #expect(statistics[.receivedFrames] == 8 && statistics[.receivedOctets] == 0x2_FFFF_FFF0)
  }

  /// The in-kernel driver uses extended descriptors and distributes frames to queues; a driver before this one may have
  /// set anything.
  @Test func dependsOnNothingThatAnEarlierDriverLeft() throws {
    let bench = try Bench()
    // RFCTL.EXSTEN, MRQC, RDTR, RADV, TIDV, TADV, RXCSUM.PCSD, FCRTL.XONE, IAM.
    bench.fake.leftovers = [
      0x5008: 1 << 15, 0x5818: 1, 0x2820: 99, 0x282C: 99, 0x3820: 99, 0x382C: 99, 0x5000: 1 << 13, 0x2160: 1 << 31,
      0x00E0: .max,
    ]
    try bench.start()
    for (register, mask) in [
      (0x5008, UInt32(1 << 15)), (0x5818, .max), (0x2820, .max), (0x282C, .max), (0x3820, .max), (0x382C, .max),
      (0x5000, 1 << 13), (0x2160, .max), (0x00E0, .max),
    ] { #expect(bench.fake.registers[register, default: 0] & mask == 0, "0x\(String(register, radix: 16))") }
  }

  @Test func shutsDown() throws {
    let bench = try Bench().start()
    try bench.driver.stop()
    #expect(bench.fake.resets == 2)
    #expect(bench.fake.registers[0x0100] == nil && bench.fake.registers[0x00D0] ?? 0 == 0)
  }
}
