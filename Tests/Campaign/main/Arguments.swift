import Campaign
import Platform

/// The command line.
struct Arguments {
  static let usage = """
    usage: nbd-campaign (--nbd SOCKET [--export NAME] [--connections N] | --file PATH [--block N]) [OPTION...]
      --seed N            of operations and attacks (1)
      --depth N           operations at a time (16)
      --operations N      at least so many (2000)
      --size BYTES        of the range, from the beginning of the disk (16 MiB)
      --atomic BYTES      that are written whole or not at all
      --power-loss        the server may lose what was not flushed
      --allow-errors      errors are answers like others
      --allow-disconnects lost connections are made again
      --deadline SECONDS  for each operation and each recovery (30)
    and, with the control socket and name of the device:
      --control SOCKET --device NAME
      --kills N --stops N --broker-kills N
      --gap N             operations between two attacks, at most (200)
    """

  var options = CampaignOptions()
  private var nbd: String?
  private var file: String?
  private var exportName = ""
  private var connections = 2
  private var block = 4096
  private var control: String?
  private var device: String?
  private var attacks: [Assailant.Attack: Int] = [:]
  private var gap = 200

  /// - Throws: ``Failure`` `usage`.
  init(_ words: [String]) throws(Failure) {
    var words = words[...]
    while let word = words.popFirst() {
      switch word {
      case "--power-loss": options.losesPower = true
      case "--allow-errors": options.allowsErrors = true
      case "--allow-disconnects": options.allowsDisconnects = true
      default:
        guard let value = words.popFirst() else { throw Failure("usage", "\(word) is unknown or wants a value") }
        try take(word, value)
      }
    }
    guard (nbd == nil) != (file == nil) else { throw Failure("usage", "one of --nbd and --file is needed") }
    guard attacks.isEmpty || (control != nil && device != nil) else {
      throw Failure("usage", "attacks need --control and --device")
    }
    if attacks[.killBroker] ?? 0 > 0, nbd != nil { options.allowsDisconnects = true }
  }

  private mutating func take(_ word: String, _ value: String) throws(Failure) {
    func number(_ range: ClosedRange<Int>) throws(Failure) -> Int {
      guard let number = Int(value), range.contains(number) else {
        throw Failure("usage", "\(word) \(value): a number from \(range.lowerBound) to \(range.upperBound) is expected")
      }
      return number
    }
    switch word {
    case "--nbd": nbd = value
    case "--file": file = value
    case "--export": exportName = value
    case "--connections": connections = try number(1...64)
    case "--block": block = try number(512...65536)
    case "--seed": options.seed = UInt64(try number(0...Int.max))
    case "--depth": options.depth = try number(1...1024)
    case "--operations": options.operations = UInt64(try number(0...Int.max))
    case "--size": options.range = try number(131072...1 << 32)
    case "--atomic": options.atomicSize = try number(0...1 << 20)
    case "--deadline": options.deadline = Nanoseconds(try number(1...3600)) * 1_000_000_000
    case "--control": control = value
    case "--device": device = value
    case "--kills": attacks[.kill] = try number(0...1_000_000)
    case "--stops": attacks[.stop] = try number(0...1_000_000)
    case "--broker-kills": attacks[.killBroker] = try number(0...1_000_000)
    case "--gap": gap = try number(1...1_000_000)
    default: throw Failure("usage", "\(word) is unknown")
    }
  }

  /// - Throws: ``Failure`` of connecting and opening.
  func makeCampaign(report: @escaping (String) -> Void) throws(Failure) -> Campaign {
    var assailant: Assailant?
    if let control, let device {
      assailant = Assailant(
        client: StatusClient(socket: control, device: device), attacks: attacks, gap: gap, seed: options.seed,
        deadline: options.deadline)
    }
    if let nbd {
      let target = try NBDTarget(socket: nbd, name: exportName, connections: connections)
      return try Campaign(
        options, target: target, canForceUnitAccess: target.canForceUnitAccess, assailant: assailant, report: report)
    }
    let target = try FileTarget(path: file!, size: options.range, blockSize: block, depth: options.depth)
    return try Campaign(options, target: target, canForceUnitAccess: true, assailant: assailant, report: report)
  }
}
