import Platform
import Protocol

extension EmulationOptions {
  /// The options that ``init(parsing:)`` knows.
  static let names = [
    "name", "file", "size", "lba", "namespaces", "queues", "entries", "vectors", "cache", "journal", "atomic",
    "readonly",
    "sync", "spin", "seed", "serial", "misbehave",
  ]
  /// Those of a network controller.
  static let networkNames = ["name", "wire", "mac", "link", "vectors", "spin", "seed", "misbehave"]

  /// Reads `nvme,name=value,...`. A comma in a value is written twice.
  ///
  /// `name=NAME`, `file=PATH`, `size=BYTES` (K, M, G, T), `lba=512|4096`, `namespaces=N`, `queues=N`, `entries=N`, `vectors=N`,
  /// `cache=on|off`, `journal=on|off`, `atomic=BLOCKS`, `readonly=on|off`, `sync=on|off`, `spin=TIME`, `seed=N`,
  /// `serial=TEXT`, and any number of `misbehave=KIND:NAME=VALUE:...` (see ``Misbehaviour/init(parsing:for:)``).
  ///
  /// Or `e1000e,name=value,...`: `name=NAME`, `wire=INTERFACE|none`, `mac=ADDRESS`, `link=on|off`, `vectors=N`, `spin=TIME`,
  /// `seed=N`, `misbehave=`.
  /// - Throws: ``Failure`` `emulation-option`, whose step quotes what was not understood.
  public init(parsing text: String) throws(Failure) {
    var parts = Self.split(text)[...]
    let name = parts.popFirst() ?? ""
    guard let model = Model(rawValue: name) else {
      throw Failure(
        "emulation-option", "emulate `\(name)`",
        hint: "emulated devices are nvme and e1000e: nvme,file=disk.img,size=64M or e1000e,wire=bhw0")
    }
    self.init(model)
    var seen: Set<String> = []
    for part in parts {
      let option = try OptionText(part)
      if option.name != "misbehave", !seen.insert(option.name).inserted {
        throw Failure("emulation-option", "read `\(part)`", hint: "\(option.name) was given before")
      }
      if model == .nvme { try take(option) } else { try takeNetwork(option) }
    }
    guard (size ?? 0) % blockSize == 0 else {
      throw Failure("emulation-option", "read `\(text)`", hint: "size must be a multiple of lba, \(blockSize)")
    }
    guard !journal || cache else {
      throw Failure(
        "emulation-option", "read `\(text)`", hint: "journal=on needs cache=on: nothing is unflushed without")
    }
  }

  private mutating func take(_ option: OptionText) throws(Failure) {
    switch option.name {
    case "name":
      guard !option.value.isEmpty else { throw option.refused("a name") }
      name = option.value
    case "file":
      guard !option.value.isEmpty else { throw option.refused("a path") }
      file = option.value
    case "size": size = try option.bytes(4096...Self.maximumSize)
    case "lba":
      guard option.value == "512" || option.value == "4096" else { throw option.refused("512 or 4096") }
      blockSize = Int(option.value) ?? 512
    case "namespaces": namespaces = try option.int(1...16)
    case "queues": queues = try option.int(1...16)
    case "entries": queueEntries = try option.int(2...4096)
    case "vectors": vectors = try option.int(1...32)
    case "cache": cache = try option.onOff()
    case "journal": journal = try option.onOff()
    case "atomic": atomicBlocks = try option.int(1...65536)
    case "readonly": readOnly = try option.onOff()
    case "sync": sync = try option.onOff()
    case "spin": spin = try option.duration()
    case "seed": seed = try option.number(0...UInt64.max)
    case "serial":
      guard (1...20).contains(option.value.utf8.count), option.value.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
      else { throw option.refused("1 to 20 printable characters") }
      serial = option.value
    case "misbehave": misbehaviours.append(try Misbehaviour(parsing: option.value))
    default:
      throw Failure(
        "emulation-option", "read `\(option.name)=\(option.value)`",
        hint: "options are \(Self.names.joined(separator: ", "))")
    }
  }

  private mutating func takeNetwork(_ option: OptionText) throws(Failure) {
    switch option.name {
    case "name", "spin", "seed": try take(option)
    case "wire":
      guard !option.value.isEmpty else { throw option.refused("the name of an interface, or none") }
      wire = option.value == "none" ? nil : option.value
    case "mac":
      guard let address = Self.address(option.value), address.isUsable else {
        throw option.refused("an address such as 02:00:00:00:00:01, not of a group")
      }
      hardwareAddress = address
    case "link": link = try option.onOff()
    case "vectors": vectors = try option.int(1...E1000ECause.vectorCount)
    case "misbehave": misbehaviours.append(try Misbehaviour(parsing: option.value, for: model))
    default:
      throw Failure(
        "emulation-option", "read `\(option.name)=\(option.value)`",
        hint: "options of e1000e are \(Self.networkNames.joined(separator: ", "))")
    }
  }

  /// Six octets of two hexadecimal digits.
  private static func address(_ text: String) -> HardwareAddress? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 6 else { return nil }
    var bits: UInt64 = 0
    for part in parts {
      guard part.utf8.count == 2, let octet = UInt8(part, radix: 16) else { return nil }
      bits = bits << 8 | UInt64(octet)
    }
    return HardwareAddress(bits: bits)
  }

  /// At commas; two of them are one in a value.
  private static func split(_ text: String) -> [String] {
    var parts = [""]
    var characters = text.makeIterator()
    var next = characters.next()
    while let character = next {
      next = characters.next()
      if character == ",", next == "," {
        parts[parts.count - 1].append(",")
        next = characters.next()
      } else if character == "," {
        parts.append("")
      } else {
        parts[parts.count - 1].append(character)
      }
    }
    return parts
  }
}
