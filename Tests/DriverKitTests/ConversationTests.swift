import Glibc
import Testing

@testable import DriverKit

/// A driver that serves every request at once, with what is needed to see what happened to it.
final class TestDriver: BlockDriver {
  static let name = "test"
  static let version = "0.1"

  let device: Device
  let options: Options
  var served = 0

  init(device: Device, options: Options) throws(DriverFailure) {
    self.device = device
    self.options = options
  }

  func start() throws(DriverFailure) -> [BlockUnit] {
    if options["fail"] != nil { throw DriverFailure(.deviceError, "as asked", errno: 5, deviceStatus: 6) }
    if options["wait"] != nil { try device.wait(step: "nothing", deadline: 1_000_000) { false } }
    if options["config"] != nil { _ = try device.readConfig(0x44, width: 2) }
    return [
      BlockUnit(
        index: 0, identifier: 1, blockSize: 512, blocks: 100, maximumTransfer: 4096, atomicWrite: 512,
        features: [],
        model: "m", serial: "s", worldWideName: "")
    ]
  }

  func interrupt(_ vector: Int) throws(DriverFailure) -> Bool { false }

  func queueReady(_ queue: BlockQueue) throws(DriverFailure) -> Bool {
    var found = false
    while let request = try queue.next() {
      found = true
      served += 1
      queue.complete(request)
    }
    return found
  }
}

/// The broker's messages are put into the socket before the driver runs, on the same thread.
@Suite struct ConversationTests {
  private func run(_ world: World, _ options: [String] = []) -> Int32 {
    DriverConversationRunner<TestDriver>(control: world.port, options: Options(arguments: options))
      .run(makeDevice: { grant, port throws(DriverFailure) in world.makeDevice(grant, port) })
  }

  private func say(_ world: World, _ messages: [BrokerMessage], generation: UInt32 = 7) throws {
    for message in messages { try world.broker.send(message, generation: generation) }
  }

  @Test func fromHelloToStopped() throws {
    let world = try World()
    try say(world, [.grant(world.grant), .start, .ping(sequence: 41), .stop])
    #expect(run(world) == 0)
    let heard = try world.heard()
    #expect(heard.map(\.1.kind) == [.hello, .blockUnit, .ready, .pong, .stopped])
    #expect(heard.map(\.0) == [0, 7, 7, 7, 7])
    #expect(heard[0].1 == .hello(name: "test", version: "0.1"))
    #expect(heard[3].1 == .pong(sequence: 41))
  }

  @Test func stopsBeforeItServed() throws {
    let world = try World()
    try say(world, [.grant(world.grant), .stop])
    #expect(run(world) == 0)
    #expect(try world.heard().map(\.1.kind).last == .stopped)
  }

  @Test func servesWhatWasThereBeforeTheStart() throws {
    let world = try World()
    let device = world.makeDevice(world.grant, world.port)
    let driver = try TestDriver(device: device, options: Options(arguments: []))
    let loop = ServiceLoop(device: device, driver: driver)
    world.header(type: 4)
    world.submit([world.headerDescriptor, world.statusDescriptor()])
    #expect(try loop.round())
    #expect(driver.served == 1)
    #expect(try world.guest.nextUsed()?.id == 0)
    #expect(try !loop.round())
  }

  @Test func saysWhyItFailed() throws {
    let world = try World()
    try say(world, [.grant(world.grant)])
    #expect(run(world, ["fail=1"]) == 1)
    #expect(
      try world.heard().last?.1 == .failed(code: .deviceError, errno: 5, deviceStatus: 6, detail: "as asked"))
  }

  @Test func waitsEndAtTheirDeadline() throws {
    let world = try World()
    try say(world, [.grant(world.grant)])
    #expect(run(world, ["wait=1"]) == 1)
    guard case .failed(.timeout, _, _, let detail)? = try world.heard().last?.1 else {
      Issue.record("no time-out")
      return
    }
    #expect(detail == "nothing: not within 1 ms")
  }

  @Test func readsConfigSpace() throws {
    let world = try World()
    let device = world.makeDevice(world.grant, world.port)
    try world.port.send(.hello(name: "", version: ""))
    try say(world, [.grant(world.grant)])
    _ = try world.port.receive()
    try say(world, [.configValue(value: 0x1234, errno: 0)])
    #expect(try device.readConfig(0x44, width: 2) == 0x1234)
    #expect(try world.heard().last?.1 == .configRead(offset: 0x44, width: 2))
  }

  @Test func reportsADeniedConfigAccess() throws {
    let world = try World()
    try say(world, [.grant(world.grant), .configValue(value: 0, errno: UInt16(EPERM))])
    #expect(run(world, ["config=1"]) == 1)
    guard case .failed(.unsupported, UInt16(EPERM), _, _)? = try world.heard().last?.1 else {
      Issue.record("no failure")
      return
    }
  }

  @Test func leavesQuietlyWhenTheBrokerIsGone() throws {
    let world = try World()
    try say(world, [.grant(world.grant), .start])
    shutdown(world.broker.socket, Int32(SHUT_RDWR))
    #expect(run(world) == 0)
  }

  @Test(arguments: [BrokerMessage.start, .ping(sequence: 1), .configValue(value: 0, errno: 0)])
  func refusesWhatMayNotComeFirst(message: BrokerMessage) throws {
    let world = try World()
    try say(world, [message])
    #expect(run(world) == 1)
    guard case .failed(.protocolError, _, _, _)? = try world.heard().last?.1 else {
      Issue.record("not refused")
      return
    }
  }

  @Test func refusesAnotherGeneration() throws {
    let world = try World()
    try say(world, [.grant(world.grant)])
    try say(world, [.start], generation: 8)
    #expect(run(world) == 1)
    guard case .failed(.protocolError, _, _, _)? = try world.heard().last?.1 else {
      Issue.record("not refused")
      return
    }
  }

  @Test func refusesBytesThatAreNoMessage() throws {
    let world = try World()
    for length in [1, 511, 513] {
      let world = try World()
      let bytes = [UInt8](repeating: 0x42, count: length)
      #expect(send(world.broker.socket, bytes, length, 0) == length)
      #expect { try world.port.receive() } throws: { ($0 as? DriverFailure)?.code == .protocolError }
    }
    #expect(try world.port.receive() == nil)
  }
}
