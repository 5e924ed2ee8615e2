import CBulkhead
import Glibc
import Platform
import Protocol
import TAP

/// What vhost-net does with a driver, and with one that lies; each check says `ok NAME` or why not.
struct Probe {
  private static let station: [UInt8] = [0x52, 0x54, 0, 0, 0, 0x10]
  private static let peer: [UInt8] = [0x52, 0x54, 0, 0, 0, 0x20]

  let tap: TAPInterface
  let vhost: VhostNet
  let index: UInt32

  /// `bhv0` with 198.51.100.1/24.
  init() throws {
    tap = try TAPInterface(name: InterfaceName("bhv0"))
    try tap.setOffloads([.checksum, .tso4, .tso6])
    // Before it goes up, so that it may send at once.
    try tap.setCarrier(true)
    try Self.ip("link", "set", "bhv0", "address", "52:54:00:00:00:10", "up")
    try Self.ip("address", "add", "198.51.100.1/24", "dev", "bhv0")
    index = if_nametoindex("bhv0")
    vhost = try VhostNet(VhostDevice())
  }

  /// Runs `ip`.
  private static func ip(_ words: String...) throws(Failure) {
    var arguments: [UnsafeMutablePointer<CChar>?] = (["ip"] + words).map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var pid: pid_t = 0
    let failed = posix_spawnp(&pid, "ip", nil, nil, &arguments, nil)
    guard failed == 0 else { throw Failure("probe", "run ip", errno: failed) }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    guard status == 0 else { throw Failure("probe", "ip \(words.joined(separator: " ")): status \(status)") }
  }

  /// RFC 826: who has 198.51.100.1? Tell 198.51.100.2.
  private static let question: [UInt8] =
    [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] + peer + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1] + peer + [198, 51, 100, 2]
    + [0, 0, 0, 0, 0, 0] + [198, 51, 100, 1]
  private static let answer: [UInt8] =
    peer + station + [8, 6, 0, 1, 8, 0, 6, 4, 0, 2] + station + [198, 51, 100, 1] + peer + [198, 51, 100, 2]

  private func expect(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws(Failure) {
    if !condition { throw Failure("probe", otherwise()) }
  }

  /// A frame each way, through a new driver's memory.
  func bothWays() throws {
    let driver = try ProbeDriver()
    try vhost.start(driver.plan(tap: tap.queues[0].file))
    driver.offerBuffers()
    driver.send(Self.question)
    try expect(driver.isSent(within: 5000), "the frame was not taken")
    var received = 0
    while let frame = try driver.nextFrame(within: 5000) {
      received += 1
      // Others come too: IPv6 says hello.
      if frame == Self.answer { break }
      try expect(received < ProbeDriver.receiveBuffers, "there was no answer in \(received) frames")
    }
    try expect(received > 0, "no frame came")
    let errors = vhost.takeErrors()
    try expect(errors == (0, 0), "the kernel refused \(errors) descriptors")
    let positions = try vhost.stop()
    try expect(positions?.transmit == 1, "the transmit ring stopped at \(String(describing: positions))")
    // It is over: neither a kick nor a frame wakes anybody.
    driver.send(Self.question)
    driver.kick()
    try expect(!driver.isSent(within: 300), "a frame was taken after the end")
  }

  /// Frames that lie outside of the arena, in part or in whole.
  func refusesToRead() throws {
    let end = AddressMap.arena + 1 << 20
    let lies: [(name: String, address: UInt64, length: UInt32)] = [
      ("nowhere", 0xDEAD_0000, 64), ("the rings", AddressMap.rings, 64), ("the payload", AddressMap.payload, 64),
      ("before the arena", AddressMap.arena - 32, 64), ("past its end", end - 32, 64), ("behind it", end, 64),
      ("around the end of addresses", UInt64.max - 31, 64), ("too long", AddressMap.arena, 1 << 20 + 1),
    ]
    for lie in lies {
      let driver = try ProbeDriver()
      try vhost.start(driver.plan(tap: tap.queues[0].file))
      driver.send(Self.question, address: lie.address, length: lie.length)
      try expect(isReady(vhost.errors.transmit.number), "\(lie.name): the kernel did not complain")
      try expect(!driver.isSent(within: 50), "\(lie.name): the frame was taken")
      try vhost.stop()
      _ = vhost.takeErrors()
    }
  }

  /// Buffers that lie outside of the arena.
  func refusesToWrite() throws {
    for address in [0xDEAD_0000, AddressMap.rings, AddressMap.arena + 1 << 20 - 32] {
      let driver = try ProbeDriver()
      try vhost.start(driver.plan(tap: tap.queues[0].file))
      driver.offerBuffers(count: 1, at: address)
      driver.send(Self.question)
      try expect(driver.isSent(within: 5000), "the frame was not taken")
      try expect(isReady(vhost.errors.receive.number), "\(String(address, radix: 16)): the kernel did not complain")
      try vhost.stop()
      _ = vhost.takeErrors()
    }
  }

  /// The outlet is what it was.
  func interfaceStays() throws {
    try expect(if_nametoindex("bhv0") == index && index != 0, "the interface is another one")
  }

  private func isReady(_ file: Int32) -> Bool {
    var ready = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
    return bh_ppoll(&ready, 1, 5_000_000_000) == 1
  }
}
