import DriverKit
import RingForgery
import Virtqueue

/// What the hostile network driver can try.
enum Attack: String, CaseIterable {
  case none
  /// Virtqueues that no guest writes.
  case descriptors
  /// Frames with headers that contradict them.
  case headers
  /// Descriptors and headers that change while they are read.
  case race
  /// Malformed and illegal control messages.
  case messages
  /// Ports that cannot be, or are not what they were.
  case port
  /// More control messages than anybody wants.
  case flood
  /// Stops answering.
  case hang
  /// Ends without a word.
  case crash
}

/// A NIC that is none: frames for the wire are swallowed, none ever comes, until its time has come.
final class HostileNetworkDriver: NetworkDriver {
  static let name = "hostile-network"
  static let version = "1.0"
  private static let attackTimer = 0
  static let address = HardwareAddress(0x52, 0x54, 0, 0xBA, 0xD0, 1)
  /// Bytes of each buffer, as many as there are descriptors.
  static let bufferSize = 4096

  let device: Device
  let options: Options
  let outbound: NetworkQueue
  let inbound: NetworkQueue
  let buffers: DMAMemory
  private let attack: Attack
  private let after: UInt64
  private(set) var swallowed: UInt64 = 0
  private var isLaunched = false
  /// The rings are forged: what comes back in them is nobody's business.
  var isForging = false

  init(device: Device, options: Options) throws(DriverFailure) {
    guard device.networkQueues.count >= 2 else { throw DriverFailure(.resources, "two queues are needed") }
    guard let attack = Attack(rawValue: options["attack"] ?? "none") else {
      throw DriverFailure(.unsupported, "there is no attack \(options["attack"] ?? "")")
    }
    self.device = device
    self.options = options
    self.attack = attack
    after = try options.number("after", default: 0)
    outbound = device.networkQueues[0]
    inbound = device.networkQueues[1]
    buffers = try device.arena.allocate(outbound.size * Self.bufferSize, for: "buffers")
  }

  var truePort: NetworkPort {
    NetworkPort(
      address: Self.address, maximumMTU: 9000,
      offloads: [.transmitChecksum, .transmitTCP4, .transmitTCP6, .receiveChecksum], queuePairs: 1, model: "hostile",
      firmware: "")
  }

  func start() throws(DriverFailure) -> NetworkPort {
    Log.info("attack \(attack.rawValue) \(options["kind"] ?? "all") after \(after) frames")
    // What is forged in a queue comes to its turn behind what is honest.
    let honest = attack == .descriptors ? (after == 0 ? 0 : outbound.size / 2) : outbound.size
    for buffer in 0..<honest { offer(buffer) }
    guard attack == .port else { return truePort }
    isLaunched = true
    makeRoom()
    return try lie()
  }

  func link() throws(DriverFailure) -> NetworkLink { NetworkLink(isUp: true, speed: 1000, isFullDuplex: true) }

  func apply(_ settings: NetworkSettings) throws(DriverFailure) -> Int32 {
    if settings.isEnabled, after == 0, !isLaunched { device.setTimer(Self.attackTimer, after: 300_000_000) }
    return 0
  }

  func statistics() throws(DriverFailure) -> NetworkStatistics {
    var statistics = NetworkStatistics()
    for counter in NetworkStatistics.Counter.allCases { statistics[counter] = attack == .none ? 0 : .max }
    return statistics
  }

  func poll() throws(DriverFailure) -> Bool { false }

  private func offer(_ buffer: Int) {
    outbound.offerBuffer(
      buffer, address: buffers.address + UInt64(buffer * Self.bufferSize), length: UInt32(Self.bufferSize))
  }

  func queueReady(_ queue: NetworkQueue) throws(DriverFailure) -> Bool {
    guard !isForging else { return false }
    var found = false
    while let completion = try queue.next() {
      found = true
      guard queue.direction == .outbound else { continue }
      swallowed += 1
      offer(completion.head)
    }
    if after > 0, swallowed >= after, !isLaunched { try launch() }
    return found
  }

  func timer(_ index: Int) throws(DriverFailure) {
    guard !isLaunched else {
      throw DriverFailure(.deviceError, "the attack was borne; the next driver tries another one")
    }
    try launch()
  }

  /// Whether each driver of the device tries another variant of its attack.
  var triesAll: Bool { options["kind"] ?? "all" == "all" }

  /// Ends this driver in a while, if its attack has not: there are others to be tried.
  func makeRoom() { if triesAll { device.setTimer(Self.attackTimer, after: 2_000_000_000) } }

  private func launch() throws(DriverFailure) {
    isLaunched = true
    switch attack {
    case .none, .port: break
    case .descriptors: try forgeDescriptors()
    case .headers: try forgeHeaders()
    case .race: try race()
    case .messages: try sendBadMessages()
    case .flood: try flood()
    case .hang: hang()
    case .crash: crash()
    }
  }

  /// The option `kind`, as one of an attack's variants. Of all of them each driver tries another one.
  func kind<Kind: RawRepresentable<String> & CaseIterable>(of: Kind.Type) throws(DriverFailure) -> Kind {
    let kinds = Array(Kind.allCases)
    guard let text = options["kind"], !triesAll else {
      return kinds[Int(device.generation &- 1) % kinds.count]
    }
    guard let kind = Kind(rawValue: text) else {
      let known = kinds.map(\.rawValue).joined(separator: ", ")
      throw DriverFailure(.unsupported, "kind=\(text): expected all or one of \(known)")
    }
    return kind
  }
}
