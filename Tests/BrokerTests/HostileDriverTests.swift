import Glibc
import Platform
import Protocol
import Testing
import VFIO

@testable import Broker

/// A driver that says what it must not say, and a device that fails at the wrong moment.
@Suite struct HostileDriverTests {
  private func expectLost(_ rig: SessionRig, _ violation: Violation) throws {
    let events = try rig.events()
    guard case .violation(violation, count: 1, _) = events.first else {
      throw Failure("test", "\(events) instead of \(violation.name)")
    }
    #expect(events.dropFirst() == [.driverLost(BrokerSession.lossByViolation)])
    #expect(rig.backing.operations == ["bus-master off"])
    // And the next one is served.
    try rig.command(.driverGone)
    #expect(try rig.events() == [.quiesced])
    try rig.serve()
  }

  private func send(_ rig: SessionRig, _ bytes: [UInt8], files: [Int32] = []) throws {
    try bytes.withUnsafeBytes { try PacketSocket.send($0, files: files, to: rig.driver.socket) }
    try rig.turn()
  }

  @Test(arguments: [1, 511, 513, 4096]) func messagesOfTheWrongSize(size: Int) throws {
    let rig = try SessionRig()
    try rig.serve()
    try send(rig, [UInt8](repeating: 0, count: size))
    try expectLost(rig, .malformedMessage)
  }

  @Test func messagesThatAreNone() throws {
    for change in [(0, UInt8(0xFF)), (4, 9), (6, 0xEE), (7, 1)] {
      let rig = try SessionRig()
      try rig.serve()
      var bytes = Envelope(generation: rig.generation, DriverMessage.ready).encoded()
      bytes[change.0] = change.1
      try send(rig, bytes)
      try expectLost(rig, .malformedMessage)
    }
  }

  @Test func messagesOfAnotherGeneration() throws {
    let rig = try SessionRig()
    try rig.serve()
    try rig.driver.send(.pong(sequence: 1), generation: 77)
    try rig.turn()
    try expectLost(rig, .malformedMessage)
  }

  @Test func messagesWithFiles() throws {
    let rig = try SessionRig()
    try rig.serve()
    try rig.driver.send(.pong(sequence: 1), generation: rig.generation, files: [rig.backing.deviceFile])
    try rig.turn()
    try expectLost(rig, .malformedMessage)
  }

  /// Whatever the conversation does not permit while serving.
  @Test(arguments: [
    DriverMessage.hello(name: "again", version: "1"), .ready, .stopped, .blockUnit(SessionRig.unit),
    .pong(sequence: 5),
  ])
  func messagesOutOfTurn(message: DriverMessage) throws {
    let rig = try SessionRig()
    try rig.serve()
    try rig.say(message)
    try expectLost(rig, .illegalTransition)
  }

  @Test func noGreeting() throws {
    let rig = try SessionRig()
    try rig.attach()
    _ = try rig.events()
    rig.backing.forgetOperations()
    try rig.say(.ready)
    try expectLost(rig, .illegalTransition)
  }

  @Test func aFlood() throws {
    let rig = try SessionRig()
    try rig.serve()
    var events: [BrokerEvent] = []
    for _ in 0..<100_000 where events.isEmpty {
      try rig.driver.send(.configRead(offset: 0, width: 4), generation: rig.generation)
      try rig.turn(1)
      _ = try rig.hear()
      events += try rig.events()
    }
    guard case .violation(.messageFlood, _, _) = events.first else { throw Failure("test", "\(events)") }
  }

  /// One that asks and does not read the answers is lost when they pile up, and the broker does not wait for it.
  @Test func answersThatNobodyReads() throws {
    let rig = try SessionRig()
    try rig.serve()
    var events: [BrokerEvent] = []
    for _ in 0..<1000 where events.isEmpty {
      try rig.driver.send(.configRead(offset: 0, width: 4), generation: rig.generation)
      try rig.turn(1)
      events += try rig.events()
    }
    #expect(events == [.driverLost(.hungUp)])
  }

  @Test func aUnitThatTheProxyRefuses() throws {
    let rig = try SessionRig()
    try rig.attach()
    try rig.say(.hello(name: "n", version: "1"))
    _ = try rig.events()
    rig.backing.forgetOperations()
    rig.proxy.refusal = ProxyRefusal(.geometryChanged, "smaller")
    try rig.say(.blockUnit(SessionRig.unit))
    rig.proxy.refusal = nil
    try expectLost(rig, .geometryChanged)
  }

  @Test func nothingIsHeardOfALostDriver() throws {
    let rig = try SessionRig()
    try rig.serve()
    rig.session.distrustDriver(.usedIndexInvalid, "test")
    rig.session.distrustDriver(.usedIndexInvalid, "test")
    _ = try rig.events()
    try rig.say(.failed(code: .timeout, errno: 0, deviceStatus: 0, detail: ""))
    #expect(try rig.events().isEmpty)
  }

  // MARK: Devices

  @Test func aDeviceWithoutReset() throws {
    let backing = FakeBacking()
    backing.failures["reset"] = Failure("vfio-no-reset", "reset")
    let rig = try SessionRig(backing: backing)
    try rig.serve()
    try rig.command(.driverGone)
    #expect(backing.operations == ["bus-master off", "unwire", "reset", "unmap 10000000"])
    #expect(try rig.events() == [.quiesced])
  }

  /// What the last driver left in it must not meet the next one's memory.
  @Test func aDeviceThatCannotBeResetGoesToNobody() throws {
    let backing = FakeBacking()
    let rig = try SessionRig(backing: backing)
    try rig.serve()
    backing.failures["reset"] = Failure("vfio-reset", "reset it", errno: EAGAIN)
    try rig.command(.driverGone)
    #expect(backing.operations.contains("unmap 10000000"))
    let events = try rig.events()
    #expect(!events.contains(.quiesced))
    #expect(rig.session.exitStatus == 1, "the next broker tries again: \(events)")
  }

  /// A driver has its device before it is ready, too, and while it is asked to stop.
  @Test(arguments: [false, true]) func aStormOfADriverThatDoesNotServe(stopping: Bool) throws {
    let counts = Storm()
    let rig = try SessionRig(heartbeatInterval: 2, interrupts: counts, interruptLimit: 1000)
    if stopping {
      try rig.serve()
      try rig.command(.stopDriver)
    } else {
      try rig.attach()
    }
    _ = try rig.events()
    counts.isOn = true
    var found = false
    try rig.wait {
      found = try rig.events().contains { if case .violation(.interruptStorm, _, _) = $0 { true } else { false } }
      return found
    }
    #expect(found)
    #expect(rig.backing.operations.contains("switch-off 0"), "\(rig.backing.operations)")
  }

  /// Memory that the device may still reach is never freed: the broker leaves, and the kernel takes all down.
  @Test func anArenaThatCannotBeUnmapped() throws {
    let backing = FakeBacking()
    let rig = try SessionRig(backing: backing)
    try rig.serve()
    backing.failures["unmap 10000000"] = Failure("vfio-unmap", "unmap")
    try rig.command(.driverGone)
    guard case .failed("vfio-unmap", _, _, _) = try rig.events().last else { throw Failure("test", "goes on") }
    #expect(rig.session.exitStatus == 1)
  }

  @Test func attachThatFailsHalfWay() throws {
    let backing = FakeBacking()
    let rig = try SessionRig(backing: backing)
    _ = try rig.events()
    backing.forgetOperations()
    backing.failures["wire 2"] = Failure("vfio-irq", "wire")
    try rig.attach()
    #expect(
      backing.operations.prefix(6) == ["map 10000000", "wire 2", "bus-master off", "unwire", "reset", "unmap 10000000"])
    guard case .failed("vfio-irq", _, _, _) = try rig.events().last else { throw Failure("test", "goes on") }
  }

  @Test func devicesThatCannotBeServed() throws {
    let withoutVectors = FakeBacking()
    withoutVectors.vectors = [.intx: 1]
    #expect(throws: Failure.self) { try SessionRig(backing: withoutVectors) }
    #expect(throws: Failure.self) { try SessionRig(bars: 0b10) }
    let withMSI = FakeBacking()
    withMSI.vectors = [.msi: 1]
    let rig = try SessionRig(backing: withMSI)
    try rig.attach()
    #expect(rig.grant?.fileNumbers.filter { (16..<64).contains($0) } == [16])
  }
}

/// Interrupts without end at the first vector.
private final class Storm: InterruptCounts {
  var isOn = false
  private var count: UInt64 = 0

  func read() -> [UInt64] {
    if isOn { count += 1_000_000_000 }
    return [count, 0]
  }
}
