import CBulkhead
import Glibc
import Platform
import Protocol
import Testing

@testable import Broker
@testable import NBDProxy

/// Remembers what a proxy says.
final class RecordingHost: ProxyHost {
  private(set) var outlets: [(unit: BlockUnit, flags: UInt16, files: [Int32])] = []
  private(set) var violations: [Violation] = []
  private(set) var isDistrusted = false
  /// What the session does when a driver is lost.
  var onDistrust: () -> Void = {}

  deinit { for outlet in outlets { outlet.files.forEach(Descriptor.close) } }

  func tellSupervisor(_ event: BrokerEvent, files: [Int32]) {
    guard case .unit(let unit, let flags) = event else { return }
    outlets.append((unit, flags, files))
  }

  func tellDriver(_: BrokerMessage) -> Bool { false }

  func violated(_ violation: Violation, _ detail: String) { violations.append(violation) }

  func distrustDriver(_ violation: Violation, _ detail: String) {
    violations.append(violation)
    isDistrusted = true
    onDistrust()
  }
}

/// The NBD proxy with a disk behind it and clients in front of it, all in one thread.
final class Rig {
  let loop = EventLoop()
  let host = RecordingHost()
  let payload: UnsafeMutableRawBufferPointer
  let proxy: NBDProxy
  let disk: MemoryDisk
  let unit: BlockUnit
  private let configuration: BrokerConfiguration
  private(set) var driver: FakeDriver?

  static func unit(
    blocks: UInt64 = 8192, blockSize: UInt32 = 512, maximumTransfer: UInt32 = 65536,
    features: BlockUnit.Features = [.volatileCache, .forceUnitAccess, .discard, .writeZeroes]
  ) -> BlockUnit {
    BlockUnit(
      index: 0, identifier: 1, blockSize: blockSize, blocks: blocks, maximumTransfer: maximumTransfer,
      atomicWrite: blockSize, features: features, model: "Memory", serial: "0001", worldWideName: "")
  }

  init(
    unit: BlockUnit = Rig.unit(), payloadSize: Int = 4 << 20, queues: UInt8 = 2, queueSize: UInt16 = 64,
    kernelConnections: UInt8 = 0, readOnly: Bool = false, listener: Int32? = nil
  ) throws {
    self.unit = unit
    disk = MemoryDisk(size: Int(unit.size))
    payload = .allocate(byteCount: payloadSize, alignment: 4096)
    configuration = BrokerConfiguration(
      address: "0000:01:00.0", group: 1, deviceClass: .block, uid: 1000, bars: 1, interrupts: 2, queues: queues,
      queueSize: queueSize, arenaSize: 1 << 20, payloadSize: UInt32(payloadSize), mapsPayload: false,
      readOnly: readOnly, unitLimit: 1, kernelConnections: kernelConnections, heartbeatInterval: 1000,
      heartbeatTimeout: 3000, startTimeout: 3000, spinMicroseconds: 0, interruptLimit: 0)
    proxy = try NBDProxy(
      ProxyContext(configuration: configuration, loop: loop, payload: payload, listener: listener))
    proxy.attach(to: host)
    host.onDistrust = { [unowned self] in self.killDriver() }
  }

  deinit {
    proxy.shutdown()
    payload.deallocate()
  }

  /// A driver comes, announces its unit, or another one, and serves.
  @discardableResult
  func startDriver(announcing other: BlockUnit? = nil) throws -> FakeDriver {
    let driver = try FakeDriver(
      disk: disk, layout: proxy.queueLayout, queues: Int(configuration.queues), payload: payload.baseAddress!)
    proxy.driverAttached()
    try proxy.driverSays(.blockUnit(other ?? unit))
    try proxy.driverReady()
    try proxy.driverServes(driver.queues)
    self.driver = driver
    return driver
  }

  /// The driver is gone; what it was given is not.
  func killDriver() {
    proxy.driverGone()
    driver = nil
  }

  /// The device loses its power, and the driver with it.
  func losePower() {
    killDriver()
    disk.losePower()
    proxy.deviceForgot()
  }

  /// Lets everybody work until nobody has anything to do.
  func settle() throws {
    var idle = 0
    var rounds = 0
    while idle < 3 {
      rounds += 1
      try #require(rounds < 100_000, "the rig does not come to rest")
      let worked = proxy.poll()
      let served = try driver?.serve() ?? false
      // No wait, but a look at the sockets.
      try loop.turn(waiting: 0)
      idle = worked || served ? 0 : idle + 1
    }
  }

  /// A client in transmission, as the kernel's is.
  func client(_ agreement: Agreement = []) throws -> TestClient {
    let client = try TestClient()
    try #require(proxy.server.addTransmission(client.serverEnd, unit: 0, isKernel: false, agreement: agreement))
    return client
  }

  /// A client that has to negotiate first.
  func negotiatingClient() throws -> TestClient {
    let client = try TestClient()
    try #require(proxy.server.addClient(client.serverEnd))
    return client
  }
}

/// The client's end of a connection. Nothing here waits.
final class TestClient {
  let file: Int32
  /// Belongs to the server once it was added.
  let serverEnd: Int32
  private(set) var isOpen = true

  init() throws {
    var ends: (Int32, Int32) = (-1, -1)
    let result = withUnsafeMutablePointer(to: &ends) {
      $0.withMemoryRebound(to: Int32.self, capacity: 2) { bh_stream_pair($0) }
    }
    try checked(result, "test", "socketpair")
    (file, serverEnd) = ends
  }

  deinit { close() }

  func close() {
    if isOpen { Descriptor.close(file) }
    isOpen = false
  }

  func send(_ bytes: [UInt8]) {
    // A test that sends more than a socket holds is wrong, and must not hang.
    let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
    let sent = bytes.withUnsafeBytes { Glibc.send(file, $0.baseAddress, $0.count, flags) }
    if isListenedTo { #expect(sent == bytes.count) }
  }

  /// False for a client that expects to be hung up on.
  var isListenedTo = true

  /// What has arrived, at most `limit` bytes; nil at the end of the stream.
  func receive(_ limit: Int = 1 << 20) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: limit)
    let got = bytes.withUnsafeMutableBytes { bh_receive_bytes(file, $0.baseAddress, $0.count) }
    if got == 0 || got == -Int(ECONNRESET) { return nil }
    return got < 0 ? [] : Array(bytes.prefix(got))
  }

  /// A request as bytes.
  static func request(
    _ command: UInt16, cookie: UInt64, offset: UInt64 = 0, length: Int = 0, flags: UInt16 = 0, payload: [UInt8] = []
  ) -> [UInt8] {
    var writer = NBDWriter()
    writer.put(NBD.requestMagic)
    writer.put(flags)
    writer.put(command)
    writer.put(cookie)
    writer.put(offset)
    writer.put(UInt32(length))
    return writer.bytes + payload
  }

  func flush(_ cookie: UInt64) { send(Self.request(NBD.Command.flush, cookie: cookie)) }

  func read(_ cookie: UInt64, _ offset: UInt64, _ length: Int) {
    send(Self.request(NBD.Command.read, cookie: cookie, offset: offset, length: length))
  }

  func write(_ cookie: UInt64, _ offset: UInt64, _ payload: [UInt8], flags: UInt16 = 0) {
    send(
      Self.request(
        NBD.Command.write, cookie: cookie, offset: offset, length: payload.count, flags: flags, payload: payload))
  }
}

/// A simple reply.
struct TestReply: Equatable {
  var error: UInt32
  var cookie: UInt64
  var payload: [UInt8] = []

  /// Splits bytes into replies; `lengths` says which cookie gets how much payload on success.
  static func parse(_ bytes: [UInt8], lengths: [UInt64: Int] = [:]) throws -> [TestReply] {
    var rest = bytes[...]
    var replies: [TestReply] = []
    while !rest.isEmpty {
      try #require(rest.count >= NBD.simpleReplySize)
      var reader = NBDReader(Array(rest.prefix(NBD.simpleReplySize)))
      #expect(reader.get(UInt32.self) == NBD.simpleReplyMagic)
      var reply = TestReply(error: reader.get(UInt32.self), cookie: reader.get(UInt64.self))
      rest = rest.dropFirst(NBD.simpleReplySize)
      if reply.error == 0, let length = lengths[reply.cookie] {
        try #require(rest.count >= length)
        reply.payload = Array(rest.prefix(length))
        rest = rest.dropFirst(length)
      }
      replies.append(reply)
    }
    return replies
  }
}
