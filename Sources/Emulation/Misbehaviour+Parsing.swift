import Platform

extension Misbehaviour {
  /// The kinds of a controller of disks as text, with the parameters of their own.
  static let kinds = [
    "bad-status", "unknown-id", "duplicate", "late", "lost-interrupt", "spurious-interrupt", "repeated-interrupt",
    "stall", "vanish", "wrong-phase", "bad-head", "fatal", "never-ready", "identify", "power-loss",
  ]
  /// Those of a network controller.
  static let networkKinds = [
    "bad-length", "no-data", "no-end", "false-checksum", "run-ahead", "stray-write", "link-flap", "storm", "duplicate",
    "lost-interrupt", "spurious-interrupt", "repeated-interrupt", "stall", "vanish", "bad-head", "never-ready",
  ]

  static func kinds(of model: EmulationOptions.Model) -> [String] { model == .nvme ? kinds : networkKinds }

  static func scopes(of model: EmulationOptions.Model) -> [Scope] {
    model == .nvme ? [.any, .admin, .io, .read, .write, .flush] : [.any, .receive, .transmit]
  }

  /// Reads `KIND:NAME=VALUE:...`.
  ///
  /// When: `after=N`, `every=N`, `chance=P` (0.05), `count=N` (stall, vanish, fatal and power-loss: once unless said
  /// otherwise), `on=any|admin|io|read|write|flush`. How: `bad-status:code=N`, `late:by=TIME`,
  /// `repeated-interrupt:by=TIME`, `stall:for=TIME`, `vanish:for=TIME`, `bad-head:at=N`,
  /// `identify:blocks=N|lbads=N|mdts=N|namespaces=N|format=N|entries=N`.
  /// A network controller has `on=any|receive|transmit`, and `bad-length:at=N`, `run-ahead:by=N`, `link-flap:for=TIME`,
  /// `storm:for=TIME`.
  /// - Throws: ``Failure`` `emulation-option`.
  public init(parsing text: String, for model: EmulationOptions.Model = .nvme) throws(Failure) {
    var parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)[...]
    let name = parts.popFirst() ?? ""
    guard Self.kinds(of: model).contains(name), var kind = Self.kind(name) else {
      throw Failure(
        "emulation-option", "read `misbehave=\(text)`",
        hint: "misbehaviours are \(Self.kinds(of: model).joined(separator: ", "))")
    }
    var trigger = Misbehaviour(kind)
    var lie: IdentifyLie?
    var seen: Set<String> = []
    for part in parts {
      let option = try OptionText(part)
      guard seen.insert(option.name).inserted else {
        throw Failure("emulation-option", "read `misbehave=\(text)`", hint: "\(option.name) was given before")
      }
      if try trigger.take(option, Self.scopes(of: model)) { continue }
      if name == "identify", let found = try IdentifyLie(option), lie == nil {
        lie = found
        continue
      }
      guard try kind.take(option) else {
        throw Failure(
          "emulation-option", "read `\(part)` in `misbehave=\(text)`",
          hint: "\(name) takes \(Self.parameters(name)); all take after=, every=, chance=, count= and on=")
      }
    }
    if name == "identify" {
      guard let lie else {
        throw Failure("emulation-option", "read `misbehave=\(text)`", hint: "identify takes \(Self.parameters(name))")
      }
      kind = .identify(lie)
    }
    trigger.kind = kind
    if kind.happensOnce, !seen.contains("count") { trigger.count = 1 }
    self = trigger
  }

  private static func kind(_ name: String) -> Kind? {
    switch name {
    case "bad-status": .badStatus(0x281)
    case "unknown-id": .unknownID
    case "duplicate": .duplicate
    case "late": .late(50_000_000)
    case "lost-interrupt": .lostInterrupt
    case "spurious-interrupt": .spuriousInterrupt
    case "repeated-interrupt": .repeatedInterrupt(1_000_000)
    case "stall": .stall(nil)
    case "vanish": .vanish(nil)
    case "wrong-phase": .wrongPhase
    case "bad-head": .badHead(0xFFFF)
    case "fatal": .fatal
    case "never-ready": .neverReady
    case "identify": .identify(.transferShift(0))
    case "power-loss": .powerLoss
    case "bad-length": .badLength(0xFFFF)
    case "no-data": .noData
    case "no-end": .noEnd
    case "false-checksum": .falseChecksum
    case "run-ahead": .runAhead(8)
    case "stray-write": .strayWrite
    case "link-flap": .linkFlap(200_000_000)
    case "storm": .storm(1_000_000_000)
    default: nil
    }
  }

  private static func parameters(_ name: String) -> String {
    switch name {
    case "bad-status": "code="
    case "late", "repeated-interrupt", "run-ahead": "by="
    case "stall", "vanish", "link-flap", "storm": "for="
    case "bad-head", "bad-length": "at="
    case "identify": "one of blocks=, lbads=, mdts=, namespaces=, format=, entries="
    default: "nothing of its own"
    }
  }

  private mutating func take(_ option: OptionText, _ scopes: [Scope]) throws(Failure) -> Bool {
    switch option.name {
    case "after": after = try option.number(0...UInt64.max)
    case "every": every = try option.number(1...UInt64.max)
    case "count": count = try option.number(1...UInt64.max)
    case "chance": chance = try option.probability()
    case "on":
      guard let scope = Scope(rawValue: option.value), scopes.contains(scope) else {
        throw option.refused("one of \(scopes.map(\.rawValue).joined(separator: ", "))")
      }
      self.scope = scope
    default: return false
    }
    return true
  }
}

extension Misbehaviour.Kind {
  var happensOnce: Bool {
    switch self {
    case .stall, .vanish, .fatal, .powerLoss, .linkFlap, .storm: true
    default: false
    }
  }

  fileprivate mutating func take(_ option: OptionText) throws(Failure) -> Bool {
    switch (self, option.name) {
    case (.badStatus, "code"): self = .badStatus(UInt16(try option.number(1...0x7FFF)))
    case (.late, "by"): self = .late(try option.duration())
    case (.repeatedInterrupt, "by"): self = .repeatedInterrupt(try option.duration())
    case (.stall, "for"): self = .stall(try option.duration())
    case (.vanish, "for"): self = .vanish(try option.duration())
    case (.badHead, "at"): self = .badHead(UInt16(try option.number(0...0xFFFF)))
    case (.badLength, "at"): self = .badLength(UInt16(try option.number(0...0xFFFF)))
    case (.runAhead, "by"): self = .runAhead(UInt16(try option.number(1...4096)))
    case (.linkFlap, "for"): self = .linkFlap(try option.duration())
    case (.storm, "for"): self = .storm(try option.duration())
    default: return false
    }
    return true
  }
}

extension IdentifyLie {
  fileprivate init?(_ option: OptionText) throws(Failure) {
    switch option.name {
    case "blocks": self = .blocks(try option.number(0...UInt64.max))
    case "lbads": self = .blockShift(UInt8(try option.number(0...255)))
    case "mdts": self = .transferShift(UInt8(try option.number(0...255)))
    case "namespaces": self = .namespaces(UInt32(try option.number(0...0xFFFF_FFFF)))
    case "format": self = .format(UInt8(try option.number(0...255)))
    case "entries": self = .entrySizes(UInt8(try option.number(0...255)))
    default: return nil
    }
  }
}
