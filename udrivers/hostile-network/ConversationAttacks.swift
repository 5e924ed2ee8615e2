import CBulkhead
import DriverKit
import Glibc

extension HostileNetworkDriver {
  private enum MessageKind: String, CaseIterable {
    /// A port, or readiness, while the driver serves.
    case port, ready
    /// Counts that nobody asked for; settings that were never given, given once already, or not yet.
    case statistics
    case appliedNever = "applied-never"
    case appliedTwice = "applied-twice"
    case appliedZero = "applied-zero"
    /// A unit, from a driver of another class.
    case unit
    case garbage
  }

  func sendBadMessages() throws(DriverFailure) {
    let kind = try kind(of: MessageKind.self)
    Log.warning("messages: \(kind.rawValue)")
    switch kind {
    case .port: try send(.networkPort(truePort))
    case .ready: try send(.ready)
    case .statistics: try send(.networkStatistics(NetworkStatistics()))
    case .appliedNever: try send(.networkApplied(sequence: .max, errno: 0))
    case .appliedTwice:
      for sequence in 0..<4 as Range<UInt32> { try send(.networkApplied(sequence: sequence, errno: 0)) }
    case .appliedZero: try send(.networkApplied(sequence: 0, errno: 0))
    case .unit:
      try send(
        .blockUnit(
          BlockUnit(
            index: 0, identifier: 1, blockSize: 512, blocks: 1, maximumTransfer: 4096, atomicWrite: 512, features: [],
            model: "", serial: "", worldWideName: "")))
    case .garbage: try device.sendRaw([UInt8](repeating: 0xA5, count: 64))
    }
    makeRoom()
  }

  private func send(_ message: DriverMessage) throws(DriverFailure) {
    try device.sendRaw(Envelope(generation: device.generation, message).encoded())
  }

  /// The link goes up and down without end.
  func flood() throws(DriverFailure) {
    let count = try options.number("count", default: 100_000, in: 1...Int.max)
    Log.warning("flood: \(count) messages")
    for turn in 0..<count { try send(.networkLink(turn % 2 == 0 ? .down : try link())) }
  }

  private enum Lie: String, CaseIterable {
    /// Two ports.
    case twice
    /// More queue pairs than were granted.
    case pairs
    /// MTUs that the class does not know.
    case mtuZero = "mtu-zero"
    case mtuHuge = "mtu-huge"
    /// Addresses that no port has.
    case addressNone = "address-none"
    case addressGroup = "address-group"
    /// Offloads that do not exist, or contradict each other.
    case offloadsUnknown = "offloads-unknown"
    case offloadsAlone = "offloads-alone"
    /// No port at all.
    case missing
    /// Another address, and other offloads, from the second driver on; they may be.
    case change
    /// A unit instead.
    case unit
  }

  /// The port, or another one.
  func lie() throws(DriverFailure) -> NetworkPort {
    var port = truePort
    let lie = try kind(of: Lie.self)
    Log.warning("port: \(lie.rawValue)")
    switch lie {
    case .twice: try send(.networkPort(port))
    // The kit would refuse to say it.
    case .pairs:
      port.queuePairs = UInt8(DriverFile.maximumQueues / 2)
      try send(.networkPort(port))
    case .mtuZero: port.maximumMTU = 0
    case .mtuHuge: port.maximumMTU = .max
    case .addressNone: port.address = HardwareAddress(bits: 0)
    case .addressGroup: port.address = HardwareAddress(bits: 0xFFFF_FFFF_FFFF)
    case .offloadsUnknown: port.offloads = NetworkPort.Offloads(rawValue: .max)
    case .offloadsAlone: port.offloads = [.transmitTCP4, .transmitTCP6]
    case .missing: try send(.ready)
    case .change:
      if device.generation > 1 {
        port.address = HardwareAddress(bits: Self.address.bits ^ UInt64(device.generation))
        port.offloads = device.generation % 2 == 0 ? [] : port.offloads
      }
    case .unit:
      try send(
        .blockUnit(
          BlockUnit(
            index: 0, identifier: 1, blockSize: 512, blocks: 1, maximumTransfer: 4096, atomicWrite: 512, features: [],
            model: "", serial: "", worldWideName: "")))
    }
    return port
  }

  /// Answers nothing any more: asleep, or using all the processor it gets.
  func hang() {
    Log.warning("hang")
    let sleeps = options["kind"] != "spin"
    while true { if sleeps { _ = bh_ppoll(nil, 0, 1_000_000_000) } }
  }

  /// A store to an address that is not mapped.
  func crash() -> Never {
    Log.warning("crash")
    bh_mmio_write32(UnsafeMutableRawPointer(bitPattern: 0x10)!, 1)
    _exit(139)
  }
}
