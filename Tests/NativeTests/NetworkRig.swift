import CBulkhead
import Glibc
import NamespaceRig
import Netlink
import Platform

/// A `bulkheadd` with an emulated NIC in a namespace of its own, and the other end of its wire in another one.
///
/// `port0`, 10.77.0.1 and fd77::1, is the device's interface; `wire0`, 10.77.0.2 and fd77::2, is on the far side.
final class NetworkRig {
  /// Needs root, TAPs and the tools.
  static let isPossible = NamespaceRig.isPossible && access("/dev/net/tun", R_OK | W_OK) == 0

  static let patient = """
    restart = { delay = "1ms", max-delay = "10ms", burst = 0 }
    heartbeat = { interval = "100ms", timeout = "1s", start = "5s" }
    """

  static let nearAddress: UInt32 = 0x0A4D_0001
  static let farAddress: UInt32 = 0x0A4D_0002

  let native: Native
  let near: NetworkNamespace
  let far: NetworkNamespace

  /// Returns when there is carrier.
  /// - Parameters:
  ///   - emulation: further options of the NIC.
  ///   - knowsNeighbours: addresses need not be asked for.
  init(_ emulation: String = "", policy: String = NetworkRig.patient, knowsNeighbours: Bool = false) throws {
    near = try NetworkNamespace.make()
    far = try NetworkNamespace.make()
    native = try Native(
      device: "nic",
      entry: """
        emulated = "e1000e,wire=wire0,mac=02:00:00:00:00:07\(emulation)"
        outlet = { interface = "port0" }
        \(policy)
        """, through: ["nsenter", "--net=\(Self.path(near))"], as: .root, waits: false)
    try native.eventually("the wire") { (try? here("ip", "link", "show", "wire0")) != nil }
    try here("ip", "link", "set", "wire0", "netns", Self.path(far))
    try there("ip", "link", "set", "wire0", "address", "02:00:00:00:00:08")
    try there("ip", "addr", "add", "10.77.0.2/24", "dev", "wire0")
    try there("ip", "addr", "add", "fd77::2/64", "dev", "wire0", "nodad")
    try there("ip", "link", "set", "wire0", "up")
    try native.eventually("the interface") { (try? here("ip", "link", "show", "port0")) != nil }
    try here("ip", "addr", "add", "10.77.0.1/24", "dev", "port0")
    try here("ip", "addr", "add", "fd77::1/64", "dev", "port0", "nodad")
    try here("ip", "link", "set", "port0", "up")
    guard knowsNeighbours else { return }
    try here("ip", "neigh", "add", "10.77.0.2", "lladdr", "02:00:00:00:00:08", "dev", "port0")
    try there("ip", "neigh", "add", "10.77.0.1", "lladdr", "02:00:00:00:00:07", "dev", "wire0")
  }

  private static func path(_ namespace: NetworkNamespace) -> String { "/proc/\(getpid())/fd/\(namespace.file)" }

  /// Runs an administrator's tool beside the device.
  @discardableResult
  func here(_ words: String...) throws -> String { try Self.run(words, in: near) }

  /// Runs one on the other end of the wire.
  @discardableResult
  func there(_ words: String...) throws -> String { try Self.run(words, in: far) }

  private static func run(_ words: [String], in namespace: NetworkNamespace) throws -> String {
    var said = ""
    try NamespaceRig.run(in: namespace) { said = try NamespaceRig.run(words) }
    return said
  }

  var hasCarrier: Bool {
    get throws { try here("ip", "link", "show", "port0").contains("LOWER_UP") }
  }

  /// Whether an echo request is answered in time.
  /// - Parameters:
  ///   - outward: from the device's side.
  ///   - bytes: of contents.
  ///   - time: nanoseconds.
  func echoes(
    outward: Bool, version: Echo.Version = .ip4, bytes: Int = 56, within time: Int64 = 500_000_000
  ) throws -> Bool {
    let echo = try Echo(version, in: outward ? near : far)
    return try echo.isAnswered(by: version.address(isFar: outward), bytes: bytes, within: time)
  }

  /// Waits until echo requests are answered both ways.
  func eventuallyEchoes() throws {
    for outward in [true, false] {
      try native.eventually("an echo") { try echoes(outward: outward, within: 100_000_000) }
    }
  }

  /// Index, name, the addresses that were given, and the MAC of the interface.
  func identity() throws -> [String] {
    let lines = try here("ip", "-o", "addr", "show", "dev", "port0", "scope", "global").split(separator: "\n")
    return lines.map(String.init) + [
      String(try here("ip", "-o", "link", "show", "dev", "port0").split(separator: "link/ether").last ?? "")
    ]
  }

  /// Sends `total` bytes over TCP and compares what comes.
  /// - Parameters:
  ///   - outward: from the device's side.
  ///   - progress: called with the bytes that have come.
  func transfer(_ total: Int, outward: Bool, progress: (Int) throws -> Void = { _ in }) throws {
    let port = UInt16.random(in: 5000...20000)
    var listener: Stream?
    var sender: Stream?
    try NamespaceRig.run(in: outward ? far : near) { listener = try Stream.listening(port: port) }
    try NamespaceRig.run(in: outward ? near : far) {
      sender = try Stream.connecting(to: outward ? Self.farAddress : Self.nearAddress, port: port)
    }
    guard let listener, let sender else { return }
    let pattern = Self.pattern
    var sink: Stream?
    var (sent, received) = (0, 0)
    let deadline = monotonicNow() + 30_000_000_000
    while monotonicNow() < deadline {
      var moved = false
      if sink == nil { sink = listener.accepted() }
      if sent < total {
        let place = sent % pattern.count
        let count = try sender.send(pattern[place..<min(pattern.count, place + total - sent)])
        sent += count
        moved = count > 0
        if sent == total { sender.finish() }
      }
      if let part = try sink?.receive() {
        if part.isEmpty { break }
        var index = 0
        while index < part.count {
          let place = (received + index) % pattern.count
          let count = min(part.count - index, pattern.count - place)
          // A comparison of arrays takes a second a megabyte where nothing is optimized.
          let isSame = part.withUnsafeBytes { part in
            pattern.withUnsafeBytes { memcmp(part.baseAddress! + index, $0.baseAddress! + place, count) == 0 }
          }
          guard isSame else {
            throw Native.Trouble(description: "wrong data behind \(received + index) bytes")
          }
          index += count
        }
        received += part.count
        moved = true
        try progress(received)
      }
      if !moved { usleep(200) }
    }
    guard received == total else {
      throw Native.Trouble(description: "\(received) of \(total) bytes came:\n\(native.log)")
    }
  }

  /// A sequence without a short period, so that a piece in the wrong place is seen.
  private static let pattern: [UInt8] = {
    var generator = SeededGenerator(seed: 4)
    return (0..<1 << 17).flatMap { _ in withUnsafeBytes(of: generator.next()) { Array($0) } }
  }()
}
