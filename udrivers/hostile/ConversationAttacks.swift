import DriverKit

extension HostileDriver {
  private enum MessageKind: String, CaseIterable {
    case all, garbage, short, long, magic, version, kind, generation, payload, hello, ready, unit, stopped
  }

  /// Bytes that are no message, and messages that may not come now.
  func sendBadMessages() throws(DriverFailure) {
    let chosen = try kind(or: MessageKind.all)
    for kind in chosen == .all ? Array(MessageKind.allCases.dropFirst()) : [chosen] {
      Log.warning("messages: \(kind.rawValue)")
      try device.sendRaw(bytes(kind))
      try device.sleep(50_000_000)
    }
  }

  private func bytes(_ kind: MessageKind) -> [UInt8] {
    let pong = encoded(.pong(sequence: 0))
    switch kind {
    case .all, .garbage: return (0..<pong.count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }
    case .short: return Array(pong.prefix(17))
    case .long: return pong + [0]
    case .magic: return changed(pong, at: 0)
    case .version: return changed(pong, at: 4)
    case .kind: return changed(pong, at: 7)
    case .generation: return Envelope(generation: device.generation &+ 1, DriverMessage.ready).encoded()
    case .payload: return changed(encoded(.configRead(offset: 0, width: 4)), at: 18)
    case .hello: return encoded(.hello(name: Self.name, version: Self.version))
    case .ready: return encoded(.ready)
    case .unit:
      return encoded(
        .blockUnit(
          BlockUnit(
            index: 0, identifier: 1, blockSize: 512, blocks: 1, maximumTransfer: 4096, atomicWrite: 512, features: [],
            model: "", serial: "", worldWideName: "")))
    case .stopped: return encoded(.stopped)
    }
  }

  private func encoded(_ message: DriverMessage) -> [UInt8] {
    Envelope(generation: device.generation, message).encoded()
  }

  private func changed(_ bytes: [UInt8], at index: Int) -> [UInt8] {
    var bytes = bytes
    bytes[index] ^= 0x5a
    return bytes
  }

  func flood() throws(DriverFailure) {
    let pong = encoded(.pong(sequence: 0))
    let count = try options.number("count", default: 100_000, in: 1...Int.max)
    Log.warning("flood: \(count) messages")
    for _ in 0..<count { try device.sendRaw(pong) }
  }

  /// Registers that decide where the device's memory and interrupts are, and whether it obeys.
  func touchConfig() throws(DriverFailure) {
    let writes: [(name: String, offset: UInt16, width: UInt8)] = [
      ("command", 0x04, 2), ("bar0", 0x10, 4), ("bar1", 0x14, 4), ("rom", 0x30, 4), ("capability-pointer", 0x34, 1),
      ("interrupt-line", 0x3c, 1), ("msix-control", 0x42, 2), ("extended", 0x100, 4), ("beyond", 0xffc, 4),
      ("outside", 0x1000, 4),
    ]
    for write in writes {
      report("write-\(write.name)") { () throws(DriverFailure) in
        try device.writeConfig(write.offset, width: write.width, value: .max)
      }
      report("read-\(write.name)") { () throws(DriverFailure) in
        _ = try device.readConfig(write.offset, width: write.width)
      }
    }
  }

  private func report(_ name: String, _ access: () throws(DriverFailure) -> Void) {
    do throws(DriverFailure) {
      try access()
      Log.warning("config: \(name): ALLOWED")
    } catch { Log.warning("config: \(name): denied \(Failure.name(of: Int32(error.errno)))") }
  }

  private enum Lie: String, CaseIterable {
    /// More bytes than can be counted.
    case size
    /// Blocks of 513 bytes.
    case block
    /// The same unit twice.
    case twice
    /// Half the size from the second driver on.
    case shrink
  }

  func lie(about units: [BlockUnit]) -> [BlockUnit] {
    var units = units
    switch Lie(rawValue: options["kind"] ?? "") ?? .size {
    case .size: units[0].blocks = .max
    case .block: units[0].blockSize = 513
    case .twice: units.append(units[0])
    case .shrink: if device.generation > 1 { units[0].blocks /= 2 }
    }
    return units
  }
}
