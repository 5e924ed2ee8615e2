import Protocol

extension EmulationOptions: CustomStringConvertible {
  /// The shortest text that ``init(parsing:)`` reads as these options, but for name, file and address.
  public var textWithoutFile: String { text(of: withoutFile) }

  /// As ``textWithoutFile``, with name and file.
  public var description: String {
    var parts: [(String, String)] = []
    if let name { parts.append(("name", name)) }
    if let file { parts.append(("file", file)) }
    return text(of: parts + withoutFile)
  }

  private func text(of parts: [(name: String, value: String)]) -> String {
    parts.reduce(into: model.rawValue) { text, part in
      text += ",\(part.name)="
      for character in part.value { text += character == "," ? ",," : String(character) }
    }
  }

  private var withoutFile: [(String, String)] {
    let plain = EmulationOptions(model)
    var parts: [(String, String)] = []
    func add<Value: Equatable>(_ name: String, _ value: Value, _ usual: Value, _ text: (Value) -> String) {
      if value != usual { parts.append((name, text(value))) }
    }
    let onOff = { $0 ? "on" : "off" }
    add("size", size, nil) { "\($0 ?? 0)" }
    add("lba", blockSize, plain.blockSize) { "\($0)" }
    add("namespaces", namespaces, plain.namespaces) { "\($0)" }
    add("queues", queues, plain.queues) { "\($0)" }
    add("entries", queueEntries, plain.queueEntries) { "\($0)" }
    add("vectors", vectors, plain.vectors) { "\($0)" }
    add("cache", cache, plain.cache, onOff)
    add("journal", journal, plain.journal, onOff)
    add("atomic", atomicBlocks, plain.atomicBlocks) { "\($0)" }
    add("readonly", readOnly, plain.readOnly, onOff)
    add("sync", sync, plain.sync, onOff)
    add("spin", spin, plain.spin) { OptionText.duration($0) }
    add("seed", seed, plain.seed) { "\($0)" }
    add("serial", serial, plain.serial) { $0 }
    add("wire", wire, nil) { $0 ?? "none" }
    add("mac", hardwareAddress, nil) { "\($0 ?? HardwareAddress(bits: 0))" }
    add("link", link, plain.link, onOff)
    for misbehaviour in misbehaviours { parts.append(("misbehave", "\(misbehaviour)")) }
    return parts
  }
}

extension Misbehaviour: CustomStringConvertible {
  /// The text that ``init(parsing:)`` reads as this.
  public var description: String {
    var parts = kind.parts
    if after != 0 { parts.append("after=\(after)") }
    if every != 1 { parts.append("every=\(every)") }
    if chance != 1_000_000 {
      let digits = String(chance)
      parts.append("chance=0.\(String(repeating: "0", count: max(0, 6 - digits.count)))\(digits)")
    }
    if count != .max || kind.happensOnce { parts.append("count=\(count)") }
    if scope != .any { parts.append("on=\(scope.rawValue)") }
    return parts.joined(separator: ":")
  }
}

extension Misbehaviour.Kind {
  fileprivate var parts: [String] {
    switch self {
    case .badStatus(let status): ["bad-status", "code=\(status)"]
    case .unknownID: ["unknown-id"]
    case .duplicate: ["duplicate"]
    case .late(let time): ["late", "by=\(OptionText.duration(time))"]
    case .lostInterrupt: ["lost-interrupt"]
    case .spuriousInterrupt: ["spurious-interrupt"]
    case .repeatedInterrupt(let time): ["repeated-interrupt", "by=\(OptionText.duration(time))"]
    case .stall(let time): ["stall"] + (time.map { ["for=\(OptionText.duration($0))"] } ?? [])
    case .vanish(let time): ["vanish"] + (time.map { ["for=\(OptionText.duration($0))"] } ?? [])
    case .wrongPhase: ["wrong-phase"]
    case .badHead(let head): ["bad-head", "at=\(head)"]
    case .fatal: ["fatal"]
    case .neverReady: ["never-ready"]
    case .identify(let lie): ["identify", lie.part]
    case .powerLoss: ["power-loss"]
    case .badLength(let length): ["bad-length", "at=\(length)"]
    case .noData: ["no-data"]
    case .noEnd: ["no-end"]
    case .falseChecksum: ["false-checksum"]
    case .runAhead(let count): ["run-ahead", "by=\(count)"]
    case .strayWrite: ["stray-write"]
    case .linkFlap(let time): ["link-flap", "for=\(OptionText.duration(time))"]
    case .storm(let time): ["storm", "for=\(OptionText.duration(time))"]
    }
  }
}

extension IdentifyLie {
  fileprivate var part: String {
    switch self {
    case .blocks(let value): "blocks=\(value)"
    case .blockShift(let value): "lbads=\(value)"
    case .transferShift(let value): "mdts=\(value)"
    case .namespaces(let value): "namespaces=\(value)"
    case .format(let value): "format=\(value)"
    case .entrySizes(let value): "entries=\(value)"
    }
  }
}

extension OptionText {
  /// A time with the largest unit that says it exactly.
  static func duration(_ time: Int64) -> String {
    for (unit, scale) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)] as [(String, Int64)]
    where time % scale == 0 && time > 0 {
      return "\(time / scale)\(unit)"
    }
    return "\(time)ns"
  }
}
