import DriverKit
import NVMe

/// What the hostile driver can try.
enum Attack: String, CaseIterable {
  case none
  /// Makes the controller write to an address that the driver was not given.
  case dmaWrite = "dma-write"
  /// Makes the controller read from such an address.
  case dmaRead = "dma-read"
  /// Tries in its jail what a jail must refuse, and says what came of each.
  case jail
  /// Forged completions.
  case completions
  /// Malformed and illegal control messages.
  case messages
  /// More control messages than anybody wants.
  case flood
  /// Stops answering.
  case hang
  /// Ends without a word.
  case crash
  /// Config space accesses that no driver may make.
  case config
  /// As many interrupts as the controller can make.
  case interrupts
  /// Units that cannot be, or are not what they were.
  case lie
  /// Lines on its log that are to look like somebody else's.
  case log
}

/// Serves like the NVMe driver until its time has come.
final class HostileDriver: BlockDriver {
  static let name = "hostile"
  static let version = "1.0"
  /// The NVMe driver has timer 0.
  private static let attackTimer = 7

  let device: Device
  let options: Options
  let nvme: NVMeDriver
  private let attack: Attack
  private let after: UInt64
  private var isLaunched = false
  var forgery: Forgery?

  init(device: Device, options: Options) throws(DriverFailure) {
    self.device = device
    self.options = options
    guard let attack = Attack(rawValue: options["attack"] ?? "none") else {
      throw DriverFailure(.unsupported, "there is no attack \(options["attack"] ?? "")")
    }
    self.attack = attack
    after = try options.number("after", default: 0)
    nvme = try NVMeDriver(device: device, options: options)
  }

  func start() throws(DriverFailure) -> [BlockUnit] {
    var units = try nvme.start()
    Log.info("attack \(attack.rawValue) after \(after) requests")
    switch attack {
    case .lie: units = lie(about: units)
    case .jail: JailAttack(grant: device.grant).run()
    default: if after == 0 { device.setTimer(Self.attackTimer, after: 100_000_000) }
    }
    return units
  }

  func interrupt(_ vector: Int) throws(DriverFailure) -> Bool { try nvme.interrupt(vector) }

  func queueReady(_ queue: BlockQueue) throws(DriverFailure) -> Bool {
    if var forgery {
      defer { self.forgery = forgery }
      return try forgery.serve(queue)
    }
    let found = try nvme.queueReady(queue)
    if found, after > 0, !isLaunched, device.queues.reduce(0, { $0 + $1.counters.requests }) >= after {
      try launch()
    }
    return found
  }

  func timer(_ index: Int) throws(DriverFailure) {
    guard index == Self.attackTimer else { return try nvme.timer(index) }
    try launch()
  }

  func stop() throws(DriverFailure) { try nvme.stop() }

  private func launch() throws(DriverFailure) {
    isLaunched = true
    switch attack {
    case .none, .jail, .lie: break
    case .dmaWrite: try writeByDMA()
    case .dmaRead: try readByDMA()
    case .completions: forgery = Forgery(kind: try kind(or: .all))
    case .messages: try sendBadMessages()
    case .flood: try flood()
    case .hang: hang()
    case .crash: crash()
    case .config: try touchConfig()
    case .interrupts: try storm()
    case .log: forgeLines()
    }
  }

  /// The option `kind`, as one of an attack's variants.
  func kind<Kind: RawRepresentable<String> & CaseIterable>(or fallback: Kind) throws(DriverFailure) -> Kind {
    guard let text = options["kind"] else { return fallback }
    guard let kind = Kind(rawValue: text) else {
      let known = Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw DriverFailure(.unsupported, "kind=\(text): expected one of \(known)")
    }
    return kind
  }
}
