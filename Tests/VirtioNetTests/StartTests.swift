import DriverKit
import Glibc
import Testing

@testable import VirtioNet

/// Capabilities, negotiation, settings, link.
@Suite struct StartTests {
  @Test func announcesThePort() throws {
    let bench = try Bench().start()
    #expect(
      bench.port
        == NetworkPort(
          address: Bench.address, maximumMTU: 9000,
          offloads: [.transmitChecksum, .transmitTCP4, .transmitTCP6, .transmitECN, .receiveChecksum], queuePairs: 1,
          model: "virtio-net", firmware: ""))
    #expect(bench.fake.resets == 1 && bench.fake.status == 0x0F && bench.fake.faults.isEmpty)
    // What was offered but for MRG_RXBUF, MQ, INDIRECT_DESC and RING_PACKED.
    #expect(bench.fake.accepted == bench.fake.offered & ~(1 << 15 | 1 << 22 | 1 << 28 | 1 << 34))
  }

  @Test func setsUpQueuesAndVectors() throws {
    let fake = try Bench().start().fake
    #expect(fake.configVector == 0 && fake.queues.map(\.vector) == [1, 2, 0xFFFF])
    #expect(fake.queues.map(\.size) == [256, 256, 4] && fake.queues.allSatisfy(\.isEnabled))
    for queue in fake.queues {
      #expect(queue.descriptors % 16 == 0 && queue.driver % 2 == 0 && queue.device % 4 == 0)
      #expect(queue.driver == queue.descriptors + UInt64(16 * queue.size))
    }
  }

  @Test func sharesVectorsWhereThereAreFewer() throws {
    #expect(try Bench(interrupts: 1).start().fake.queues.map(\.vector) == [0, 0, 0xFFFF])
    #expect(try Bench(interrupts: 2).start().fake.queues.map(\.vector) == [1, 1, 0xFFFF])
    #expect(Bench.code { try Bench { $0.vectorLimit = 1 }.start() } == .resources)
  }

  @Test(arguments: [32, 33, 5]) func insistsOnFeatures(bit: UInt64) {
    #expect(Bench.code { try Bench { $0.offered &= ~(1 << bit) }.start() } == .unsupported)
  }

  /// Without any of what is optional.
  @Test func makesDoWithLittle() throws {
    let bench = try Bench { $0.offered = 1 << 32 | 1 << 33 | 1 << 5 }.start()
    #expect(bench.port?.offloads == [] && bench.port?.maximumMTU == 9000)
    #expect(bench.fake.queues.map(\.isEnabled) == [true, true, false])
    #expect(try bench.driver.link() == NetworkLink(isUp: true, speed: 0, isFullDuplex: true))
    #expect(try bench.apply { $0.isPromiscuous = true } == 0)
    #expect(try bench.apply { $0.address = HardwareAddress(2, 0, 0, 0, 0, 1) } == EOPNOTSUPP)
  }

  @Test func segmentsOnlyWithChecksums() throws {
    #expect(try Bench { $0.offered &= ~1 }.start().fake.accepted & (7 << 11) == 0)
    let withoutECN = try Bench { $0.offered &= ~(1 << 13) }.start()
    #expect(
      withoutECN.port?.offloads == [.transmitChecksum, .transmitTCP4, .transmitTCP6, .receiveChecksum]
        && withoutECN.fake.accepted & (7 << 11) == 3 << 11)
    let onlyECN = try Bench { $0.offered &= ~(3 << 11) }.start()
    #expect(onlyECN.port?.offloads == [.transmitChecksum, .receiveChecksum] && onlyECN.fake.accepted & 1 << 13 == 0)
    #expect(try Bench(options: ["segmentation=0"]).start().fake.accepted & (7 << 11 | 3) == 3)
    #expect(try Bench(options: ["checksum=0"]).start().port?.offloads == [])
  }

  @Test func noticesWhatDoesNotAnswer() throws {
    #expect(Bench.code { try Bench { $0.isGone = true }.start() } == .deviceGone)
    #expect(Bench.code { try Bench { $0.resetNeverEnds = true }.start() } == .timeout)
    #expect(Bench.code { try Bench { $0.refusesFeatures = true }.start() } == .unsupported)
    #expect(Bench.code { try Bench { $0.changesForEver = true }.start() } == .deviceError)
    let later = try Bench().start()
    later.fake.isGone = true
    for body in [{ try later.apply() }, { _ = try later.driver.statistics() }, { try later.driver.interrupt(0) }]
      as [() throws -> Void]
    { #expect(Bench.code(body) == .deviceGone) }
  }

  @Test func failsWhenTheDeviceNeedsAReset() throws {
    let bench = try Bench().start()
    bench.fake.status |= 0x40
    bench.fake.signal(bench.fake.configVector)
    #expect(EventDescriptor.drain(bench.interrupts[0]) == 1)
    #expect(Bench.code { try bench.driver.interrupt(0) } == .deviceError)
    #expect(Bench.code { try bench.driver.timer(0) } == .deviceError)
    // The next driver's reset makes it well again.
    #expect(try Bench { $0.status = 0x4F }.start().fake.status == 0x0F)
  }

  // MARK: Capabilities

  @Test func refusesStructuresThatAreNotThere() throws {
    #expect(Bench.code { try Bench { $0.config[6] = 0 }.start() } == .unsupported)
    #expect(Bench.code { try Bench { $0.config[0x87] = 9 }.start() } == .unsupported, "no notify structure")
    #expect(Bench.code { try Bench(granted: 0).start() } == .resources)
    // Behind the end of what is granted, at an odd place, too small.
    #expect(Bench.code { try Bench { $0.config[0x4C + 9] = 0x40 }.start() } == .resources)
    #expect(Bench.code { try Bench { $0.config[0x4C + 8] = 1 }.start() } == .unsupported)
    #expect(
      Bench.code { try Bench { $0.config.replaceSubrange(0x58..<0x5A, with: [0x20, 0]) }.start() } == .unsupported)
    #expect(Bench.code { try Bench { $0.config[0x4C + 4] = 6 }.start() } == .resources, "the one in BAR 0 then")
  }

  @Test func refusesNotifyRegistersOutside() throws {
    #expect(Bench.code { try Bench { $0.queues[1].notifyOffset = 0x400 }.start() } == .unsupported)
    #expect(Bench.code { try Bench { $0.config[0x84 + 19] = 0xFF }.start() } == .unsupported, "a huge multiplier")
    #expect(Bench.code { try Bench { $0.config[0x84 + 16] = 3 }.start() } == .unsupported, "an odd one")
  }

  @Test func endsAListWithoutEnd() throws {
    var config = FakeDevice.configSpace()
    config[0xB5] = 0x40
    #expect(
      try Structure.find { offset, _ in UInt32(config[Int(offset)]) | UInt32(config[Int(offset) + 1]) << 8 }.count <= 3)
  }

  @Test(arguments: [0, 3, 100]) func refusesSizesThatNoQueueHas(size: Int) {
    #expect(
      Bench.code { try Bench { $0.queues[0] = FakeQueue(limit: size, notifyOffset: 0) }.start() } == .unsupported)
  }

  @Test func takesSmallerQueues() throws {
    let bench = try Bench { $0.queues[0] = FakeQueue(limit: 16, notifyOffset: 0) }.start()
    #expect(bench.fake.queues[0].waiting(bench.fake) == 16)
    #expect(try Bench(queueSize: 64).start().fake.queues.map(\.size) == [64, 64, 4])
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
    try bench.apply { $0.isEnabled = false }
    try bench.run()
    #expect(try bench.taken().isEmpty && bench.driver.statistics()[.droppedInbound] == 1)
    try bench.apply()
    #expect(bench.fake.queues[0].waiting(bench.fake) == 256, "no buffer is lost")
  }

  @Test func setsFilters() throws {
    let bench = try Bench().start()
    #expect(bench.fake.commands == [[0, 0, 0], [0, 1, 0], [1, 0] + [UInt8](repeating: 0, count: 8)])
    bench.fake.commands = []
    let groups = (0..<64).map { HardwareAddress(0x33, 0x33, 0, 0, 0, UInt8($0)) }
    try bench.apply {
      $0.address = HardwareAddress(2, 3, 4, 5, 6, 7)
      $0.isPromiscuous = true
      $0.receivesAllMulticast = true
      $0.multicast = groups
    }
    let addresses = groups.flatMap { group -> [UInt8] in (0..<6).map { group[$0] } }
    let table: [UInt8] = [1, 0, 0, 0, 0, 0, 64, 0, 0, 0] + addresses
    #expect(bench.fake.commands == [[1, 1, 2, 3, 4, 5, 6, 7], [0, 0, 1], [0, 1, 1], table])
    try bench.apply { $0.address = HardwareAddress(2, 3, 4, 5, 6, 7) }
    #expect(bench.fake.commands.count == 7, "an address that is set is not set again")
  }

  @Test func takesAnotherAddressThroughTheTable() throws {
    let bench = try Bench { $0.offered &= ~(1 << 23) }.start()
    #expect(try bench.apply { $0.address = HardwareAddress(2, 3, 4, 5, 6, 7) } == 0)
    #expect(bench.fake.commands.last == [1, 0, 1, 0, 0, 0, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0])
  }

  @Test func passesOnThatTheDeviceRefuses() throws {
    let bench = try Bench().start()
    bench.fake.commandAnswer = 1
    #expect(try bench.apply { $0.address = HardwareAddress(2, 3, 4, 5, 6, 7) } == EADDRNOTAVAIL)
    #expect(try bench.apply { $0.isPromiscuous = true } == EIO)
    #expect(bench.driver.settings?.isPromiscuous == false, "the settings are as before")
  }

  @Test func waitsForACommandAndNotForEver() throws {
    let bench = try Bench().start()
    bench.fake.commandAnswer = nil
    #expect(Bench.code { try bench.apply() } == .timeout)
  }

  @Test func followsTheMTU() throws {
    let bench = try Bench { $0.configuration.replaceSubrange(10..<12, with: [0xB4, 0x05]) }
    #expect(try bench.driver.start().maximumMTU == 1460)
    #expect(try bench.apply() == EINVAL)
    #expect(try bench.apply { $0.mtu = 1460 } == 0)
    for (mtu, isRight) in [(68, true), (67, false), (0, false)] as [(UInt8, Bool)] {
      let least = try Bench { $0.configuration.replaceSubrange(10..<12, with: [mtu, 0]) }
      #expect(Bench.code { _ = try least.driver.start() } == (isRight ? nil : .unsupported))
    }
    #expect(try Bench().start(mtu: 9000).apply { $0.mtu = 9001 } == EINVAL)
  }

  // MARK: Link

  @Test func reportsTheLink() throws {
    let bench = try Bench { $0.configuration[6] = 0 }.start()
    #expect(bench.driver.lastLink == .down)
    bench.fake.setLink(true)
    #expect(EventDescriptor.drain(bench.interrupts[0]) == 1)
    try bench.driver.interrupt(0)
    try bench.driver.interrupt(0)
    bench.fake.setLink(false)
    try bench.driver.interrupt(0)
    let links = try bench.heard().compactMap { if case .networkLink(let link) = $0 { link } else { nil } }
    #expect(links == [NetworkLink(isUp: true, speed: 10_000, isFullDuplex: true), .down])
  }

  @Test func doesNotKnowEverySpeed() throws {
    let bench = try Bench { $0.configuration.replaceSubrange(12..<17, with: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF]) }.start()
    #expect(bench.driver.lastLink == NetworkLink(isUp: true, speed: 0, isFullDuplex: true))
  }

  @Test func stopsTheDevice() throws {
    let bench = try Bench().start()
    try bench.driver.stop()
    #expect(bench.fake.resets == 2 && bench.fake.status == 0)
  }
}
