import Testing

@testable import Protocol

@Suite struct WireTests {
  static let unit = BlockUnit(
    index: 0, identifier: 1, blockSize: 512, blocks: 1 << 20, maximumTransfer: 524288, atomicWrite: 512,
    features: [.volatileCache, .forceUnitAccess], model: "QEMU NVMe Ctrl", serial: "BULKHEAD0", worldWideName: "")

  static let grant = DeviceGrant(
    deviceClass: .block, vendor: 0x1b36, device: 0x10, subsystemVendor: 0x1af4, subsystem: 0x1100, revision: 2,
    interrupts: 4, queues: 2, queueSize: 512, arenaSize: 8 << 20, payloadSize: 32 << 20, payloadMapped: false,
    spinMicroseconds: 50, bars: [BarRange(bar: 0, offset: 0, length: 0x2000, fileOffset: 0)], hasBell: true)

  static let driverMessages: [DriverMessage] = [
    .hello(name: "nvme", version: "1"), .configRead(offset: 4, width: 2), .configWrite(offset: 6, width: 2, value: 7),
    .blockUnit(unit), .ready, .pong(sequence: 9), .stopped,
    .failed(code: .timeout, errno: 110, deviceStatus: 3, detail: "CSTS.RDY"),
    .networkPort(NetworkTests.port), .networkLink(NetworkLink(isUp: true, speed: 1000, isFullDuplex: true)),
    .networkApplied(sequence: 3, errno: 22), .networkStatistics(NetworkTests.statistics),
  ]

  static let brokerMessages: [BrokerMessage] = [
    .grant(grant), .configValue(value: 1, errno: 13), .start, .ping(sequence: 4), .stop,
    .networkSettings(NetworkTests.settings), .networkCount,
  ]

  static let configuration = BrokerConfiguration(
    address: "0000:01:00.0", group: 7, deviceClass: .block, uid: 70000, bars: 1, interrupts: 4, queues: 2,
    queueSize: 512,
    arenaSize: 8 << 20, payloadSize: 32 << 20, mapsPayload: false, readOnly: false, unitLimit: 1, kernelConnections: 2,
    heartbeatInterval: 1000, heartbeatTimeout: 5000, startTimeout: 60000, spinMicroseconds: 0, interruptLimit: 100_000,
    emulation: "nvme,size=" + String(repeating: "1", count: 245), hasListener: true)

  static let networkConfiguration = {
    var configuration = WireTests.configuration
    configuration.deviceClass = .network
    configuration.payloadSize = 0
    configuration.queues = 4
    configuration.network = NetworkOutletConfiguration(queuePairs: 2, usesVhost: true, busyPollMicroseconds: 50)
    return configuration
  }()

  static let commands: [BrokerCommand] = [
    .configure(configuration), .configure(networkConfiguration), .attachDriver, .driverGone, .stopDriver, .report,
    .networkSettings(NetworkTests.settings), .shutdown,
  ]

  static let events: [BrokerEvent] = [
    .configured, .driverHello(name: "nvme", version: "1"), .unit(unit, transmissionFlags: 0x16d), .driverReady,
    .driverLost(.unresponsive), .driverFailed(code: .deviceGone, errno: 19, deviceStatus: .max, detail: "CSTS"),
    .driverStopped, .quiesced, .violation(.completionStale, count: 3, detail: "tag 7"),
    .counters(BrokerCounters()), .failed(code: "vfio-open", step: "open", errno: 13, hint: "root"), .down,
    .networkPort(NetworkTests.port), .networkLink(NetworkLink(isUp: true, speed: 1000, isFullDuplex: true)),
    .networkApplied(sequence: 7, errno: 22), .networkStatistics(NetworkStatistics()), .latency(LatencyTests.histogram),
  ]

  private func roundTrip<Message: ControlMessage>(_ messages: [Message]) throws {
    for message in messages {
      let bytes = Envelope(generation: 77, message).encoded()
      #expect(bytes.count == controlMessageSize)
      let back = try bytes.withUnsafeBytes { try Envelope<Message>(decoding: $0) }
      #expect(back == Envelope(generation: 77, message))
    }
    #expect(Set(messages.map(\.kind)).count == Message.Kind.allCases.count, "every kind is tried")
  }

  @Test func everyMessageSurvivesTheWire() throws {
    try roundTrip(Self.driverMessages)
    try roundTrip(Self.brokerMessages)
    try roundTrip(Self.commands)
    try roundTrip(Self.events)
    try roundTrip([JailMessage.launch(LaunchGrant(fileNumbers: [4, 5, 7, 16, 64, 96], bars: Self.grant.bars))])
  }

  /// Only a broker that is not root has no user to become.
  @Test func rootIsNoUserOfABroker() throws {
    for (uid, isPrivileged, isGood) in [(UInt32(0), true, false), (0, false, true), (7, true, true)] {
      var configuration = Self.configuration
      configuration.uid = uid
      configuration.isPrivileged = isPrivileged
      let bytes = Envelope(generation: 0, BrokerCommand.configure(configuration)).encoded()
      let back = bytes.withUnsafeBytes { try? Envelope<BrokerCommand>(decoding: $0) }
      #expect((back != nil) == isGood)
    }
  }

  @Test func filesOfAConfiguration() {
    var configuration = Self.configuration
    #expect(configuration.fileCount == 2)
    configuration.hasListener = false
    #expect(configuration.fileCount == 1)
    configuration.emulation = ""
    #expect(configuration.fileCount == 0)
    configuration = Self.networkConfiguration
    #expect(configuration.fileCount == 6)
    configuration.network?.usesVhost = false
    #expect(configuration.fileCount == 4)
  }

  /// A class and its outlet belong together, and each pair has two queues.
  @Test func outletsAreThoseOfTheirClass() throws {
    func isGood(_ change: (inout BrokerConfiguration) -> Void) -> Bool {
      var configuration = Self.networkConfiguration
      change(&configuration)
      let bytes = Envelope(generation: 0, BrokerCommand.configure(configuration)).encoded()
      return bytes.withUnsafeBytes { try? Envelope<BrokerCommand>(decoding: $0) } != nil
    }
    #expect(isGood { _ in })
    #expect(!isGood { $0.network = nil })
    #expect(!isGood { $0.deviceClass = .block })
    #expect(!isGood { $0.queues = 3 })
    #expect(!isGood { $0.network?.queuePairs = 0 })
    #expect(
      !isGood {
        $0.network?.queuePairs = 9
        $0.queues = 18
      })
    #expect(!isGood { $0.payloadSize = 4096 })
  }

  @Test func headerIsCheckedFirst() {
    let good = Envelope(generation: 1, DriverMessage.ready).encoded()
    func decode(_ bytes: [UInt8]) throws { _ = try bytes.withUnsafeBytes { try Envelope<DriverMessage>(decoding: $0) } }
    #expect(throws: WireError.wrongSize(511)) { try decode(Array(good.dropLast())) }
    #expect(throws: WireError.wrongSize(513)) { try decode(good + [0]) }
    #expect(throws: WireError.wrongSize(0)) { try decode([]) }
    var bytes = good
    bytes[0] ^= 1
    #expect(throws: WireError.wrongMagic(controlMagic ^ 1)) { try decode(bytes) }
    bytes = good
    bytes[4] = 9
    #expect(throws: WireError.wrongVersion(9)) { try decode(bytes) }
    bytes = good
    bytes[6] = 99
    #expect(throws: WireError.unknownKind(99)) { try decode(bytes) }
  }

  /// Any byte of any driver message may be anything: it decodes to a value or throws, never traps.
  @Test(arguments: 0..<8)
  func noiseNeverTraps(index: Int) {
    var random = SystemRandomNumberGenerator()
    let good = Envelope(generation: 1, Self.driverMessages[index]).encoded()
    for _ in 0..<5000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        bytes[Int.random(in: controlHeaderSize..<220, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let decoded = bytes.withUnsafeBytes { try? Envelope<DriverMessage>(decoding: $0) }
      if case .blockUnit(let unit)? = decoded?.message {
        #expect(unit.blocks > 0 && unit.size <= UInt64(Int64.max) && unit.maximumTransfer % unit.blockSize == 0)
      }
    }
  }

  @Test func textFromADriverIsMadeHarmless() throws {
    let evil = DriverMessage.hello(name: "a\u{1b}[31m\nb", version: "\u{7f}é")
    let back = try Envelope(generation: 0, evil).encoded().withUnsafeBytes { try Envelope<DriverMessage>(decoding: $0) }
    #expect(back.message == .hello(name: "a?[31m?b", version: "???"))
  }

  @Test func impossibleUnitsAreRefused() {
    let cases: [(String, (inout BlockUnit) -> Void)] = [
      ("unit block size", { $0.blockSize = 0 }), ("unit block size", { $0.blockSize = 768 }),
      ("unit block size", { $0.blockSize = 256 }), ("unit blocks", { $0.blocks = 0 }),
      ("unit blocks", { $0.blocks = .max }), ("unit blocks", { $0.blocks = 1 << 62 }),
      ("unit maximum transfer", { $0.maximumTransfer = 0 }), ("unit maximum transfer", { $0.maximumTransfer = 1000 }),
      ("unit atomic write", { $0.atomicWrite = 0 }), ("unit index", { $0.index = 16 }),
      ("unit features", { $0.features = .init(rawValue: 0x8000) }),
    ]
    for (name, spoil) in cases {
      var unit = Self.unit
      spoil(&unit)
      let bytes = Envelope(generation: 1, DriverMessage.blockUnit(unit)).encoded()
      do {
        _ = try bytes.withUnsafeBytes { try Envelope<DriverMessage>(decoding: $0) }
        Issue.record("accepted: \(unit)")
      } catch { #expect("\(error)".contains(name), "\(error)") }
    }
  }

  @Test func addressesDoNotOverlapAndStayClearOfTheInterruptWindow() {
    let arena = AddressMap.arena..<AddressMap.arena + UInt64(AddressMap.maximumArena)
    let payload = AddressMap.payload..<AddressMap.payload + UInt64(AddressMap.maximumPayload)
    #expect(!arena.overlaps(payload))
    #expect(payload.upperBound <= AddressMap.rings)
    #expect(payload.upperBound <= 0xFEE0_0000)
  }
}
