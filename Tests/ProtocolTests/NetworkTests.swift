import Testing

@testable import Protocol

/// The network class: what may be said, and what may not.
@Suite struct NetworkTests {
  static let address = HardwareAddress(0x52, 0x54, 0x00, 0x12, 0x34, 0x56)
  static let port = NetworkPort(
    address: address, maximumMTU: 9000,
    offloads: [.transmitChecksum, .transmitTCP4, .transmitTCP6, .receiveChecksum], queuePairs: 1, model: "Intel 82574L",
    firmware: "2.1")
  /// The largest message: every multicast address.
  static let settings = NetworkSettings(
    sequence: 7, isEnabled: true, address: address, mtu: 9000, isPromiscuous: true, receivesAllMulticast: true,
    multicast: (0..<NetworkSettings.multicastLimit).map { HardwareAddress(1, 0, 0x5E, 0, 0, UInt8($0)) })
  static let statistics: NetworkStatistics = {
    var statistics = NetworkStatistics()
    for counter in NetworkStatistics.Counter.allCases { statistics[counter] = UInt64.max - UInt64(counter.rawValue) }
    return statistics
  }()

  private func refusal<Message: ControlMessage>(_ message: Message) -> WireError? {
    let bytes = Envelope(generation: 1, message).encoded()
    do { _ = try bytes.withUnsafeBytes { try Envelope<Message>(decoding: $0) } } catch { return error as? WireError }
    return nil
  }

  @Test func formatsAddresses() {
    #expect("\(Self.address)" == "52:54:00:12:34:56")
    #expect(Self.address.bits == 0x5254_0012_3456 && Self.address[0] == 0x52 && Self.address[5] == 0x56)
    #expect(Self.address.isUsable && !HardwareAddress(bits: 0).isUsable && !HardwareAddress(bits: .max).isUsable)
    #expect(HardwareAddress(0x01, 0, 0x5E, 0, 0, 1).isMulticast && !Self.address.isMulticast)
  }

  /// virtio 1.2 sections 5.1.3 and 6.
  @Test func negotiatesWhatTheDriverOffers() {
    var port = Self.port
    #expect(port.features == 1 << 32 | 1 << 29 | 0b11 | 1 << 7 | 1 << 8)
    port.offloads.insert(.transmitECN)
    #expect(port.features == 1 << 32 | 1 << 29 | 0b11 | 1 << 7 | 1 << 8 | 1 << 9)
    port.offloads = [.transmitChecksum]
    #expect(port.features == 1 << 32 | 1 << 29 | 0b10)
    port.offloads = []
    #expect(port.features == 1 << 32 | 1 << 29)
  }

  @Test func refusesImpossiblePorts() {
    let changes: [((inout NetworkPort) -> Void, WireError)] = [
      ({ $0.address = HardwareAddress(bits: 0) }, .invalidValue("port address")),
      ({ $0.address = HardwareAddress(1, 2, 3, 4, 5, 6) }, .invalidValue("port address")),
      ({ $0.maximumMTU = 67 }, .invalidValue("port MTU")), ({ $0.maximumMTU = 9001 }, .invalidValue("port MTU")),
      ({ $0.offloads = .init(rawValue: 16) }, .invalidValue("port offloads")),
      ({ $0.offloads = [.transmitTCP4] }, .invalidValue("port offloads")),
      ({ $0.offloads = [.transmitChecksum, .transmitECN] }, .invalidValue("port offloads")),
      ({ $0.offloads = .init(rawValue: 64) }, .invalidValue("port offloads")),
      ({ $0.queuePairs = 0 }, .invalidValue("port queue pairs")),
      ({ $0.queuePairs = 17 }, .invalidValue("port queue pairs")),
    ]
    for (change, error) in changes {
      var port = Self.port
      change(&port)
      #expect(refusal(DriverMessage.networkPort(port)) == error)
    }
    for mtu in [68, 1460, 9000] as [UInt16] {
      var port = Self.port
      port.maximumMTU = mtu
      #expect(refusal(DriverMessage.networkPort(port)) == nil)
    }
  }

  @Test func refusesImpossibleSettings() {
    let changes: [((inout NetworkSettings) -> Void, WireError)] = [
      ({ $0.address = HardwareAddress(1, 2, 3, 4, 5, 6) }, .invalidValue("settings address")),
      ({ $0.mtu = 67 }, .invalidValue("settings MTU")), ({ $0.mtu = 9001 }, .invalidValue("settings MTU")),
      ({ $0.multicast = [Self.address] }, .invalidValue("settings multicast address")),
    ]
    for (change, error) in changes {
      var settings = Self.settings
      change(&settings)
      #expect(refusal(BrokerMessage.networkSettings(settings)) == error)
    }
  }

  @Test func refusesSpeedWithoutLink() {
    let link = NetworkLink(isUp: false, speed: 100, isFullDuplex: false)
    #expect(refusal(DriverMessage.networkLink(link)) == .invalidValue("link speed"))
    #expect(refusal(DriverMessage.networkLink(.down)) == nil)
  }

  @Test func namesItsCounters() {
    let names = NetworkStatistics.Counter.allCases.map(\.name)
    #expect(names.first == "received-frames" && names.contains("late-collisions"))
    #expect(Set(names).count == names.count)
  }

  @Test func framesFitTheirSizes() {
    #expect(NetworkClass.maximumFrame(mtu: 1500) == 1522)
    #expect(NetworkClass.direction(ofQueue: 0) == .outbound && NetworkClass.direction(ofQueue: 3) == .inbound)
  }
}
