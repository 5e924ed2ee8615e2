import Glibc
import Platform
import Protocol
import Testing
import VFIO

@testable import Broker

@Suite struct SessionTests {
  /// The safety of the machine is an order.
  @Test func aDriverComesAndGoesInOrder() throws {
    let rig = try SessionRig()
    #expect(rig.backing.operations == ["bus-master off", "reset"])
    #expect(try rig.events() == [.configured])
    rig.backing.forgetOperations()
    try rig.attach()
    #expect(rig.backing.operations == ["map 10000000", "wire 2", "memory on", "bus-master on"])
    rig.backing.forgetOperations()
    try rig.command(.driverGone)
    #expect(rig.backing.operations == ["bus-master off", "unwire", "reset", "unmap 10000000"])
    #expect(try rig.events() == [.quiesced])
  }

  @Test func theGrantIsWhatTheManifestSays() throws {
    let rig = try SessionRig()
    try rig.attach()
    let grant = try #require(rig.grant)
    #expect(grant.fileNumbers == [4, 5, 7, 16, 17, 64, 65, 96, 97])
    #expect(rig.grantedFiles.count == grant.fileNumbers.count)
    #expect(grant.bars.map(\.offset) == [0, 12288], "the page of the MSI-X table is not in it")
    try rig.say(.hello(name: "test", version: "1"))
    guard case .grant(let device) = try rig.hear() else { throw Failure("test", "no grant") }
    #expect(device.vendor == 0x1B36 && device.device == 0x0010 && device.revision == 2)
    #expect(device.subsystemVendor == 0x1AF4 && device.subsystem == 0x1100)
    #expect(device.interrupts == 2 && device.queues == 2 && device.queueSize == 16)
    #expect(device.bars == grant.bars)
  }

  /// Each driver gets memory that no other had.
  @Test func memoryIsFresh() throws {
    let rig = try SessionRig()
    try rig.attach()
    let first = try MappedMemory(file: rig.grantedFiles[1], length: 65536)
    first.base.storeBytes(of: 0x5A, as: UInt8.self)
    try rig.command(.driverGone)
    try rig.attach()
    let second = try MappedMemory(file: rig.grantedFiles[1], length: 65536)
    #expect(second.base.load(as: UInt8.self) == 0)
    #expect(first.base.load(as: UInt8.self) == 0x5A, "the old one is another")
  }

  @Test func aLifeInOrder() throws {
    let rig = try SessionRig()
    _ = try rig.events()
    try rig.attach()
    try rig.say(.hello(name: "nvme", version: "1"))
    _ = try rig.hear()
    try rig.say(.blockUnit(SessionRig.unit))
    try rig.say(.ready)
    #expect(try rig.hear() == .start)
    #expect(try rig.events() == [.driverHello(name: "nvme", version: "1"), .driverReady])
    #expect(rig.proxy.calls == ["attached", "unit 0", "complete", "serves 2"])
    try rig.command(.stopDriver)
    #expect(try rig.hear() == .stop)
    try rig.say(.stopped)
    try rig.hangUp()
    #expect(try rig.events() == [.driverStopped], "a hang-up after that is no loss")
    try rig.command(.driverGone)
    #expect(try rig.events() == [.quiesced])
    try rig.command(.shutdown)
    #expect(try rig.events() == [.down])
    #expect(rig.session.exitStatus == 0)
    #expect(rig.proxy.calls.last == "shutdown")
    #expect(rig.backing.isClosed)
  }

  /// No driver is blamed for it, and none is tried after it: the broker leaves, so that there is another one.
  @Test func anOutletThatFailsIsTheEndOfTheBroker() throws {
    let rig = try SessionRig()
    try rig.attach()
    try rig.say(.hello(name: "nvme", version: "1"))
    try rig.say(.blockUnit(SessionRig.unit))
    _ = try rig.events()
    rig.proxy.failure = Failure("vhost-state", "start vhost-net again", errno: 22, hint: "a new broker can")
    try rig.say(.ready)
    #expect(
      try rig.events()
        == [.failed(code: "vhost-state", step: "start vhost-net again", errno: 22, hint: "a new broker can")])
    #expect(rig.session.exitStatus == 1 && rig.backing.isClosed)
    #expect(rig.proxy.calls.last == "gone")
  }

  /// The device's DMA ends at once, before the supervisor knows and before anything else is done.
  @Test func aHangUpCutsTheDeviceOff() throws {
    let rig = try SessionRig()
    try rig.serve()
    rig.proxy.onGone = { #expect(rig.backing.operations == ["bus-master off"]) }
    try rig.hangUp()
    #expect(rig.backing.operations == ["bus-master off"])
    #expect(rig.proxy.calls == ["gone"])
    #expect(try rig.events() == [.driverLost(.hungUp)])
    rig.proxy.onGone = {}
    try rig.command(.driverGone)
    #expect(
      rig.backing.operations == ["bus-master off", "bus-master off", "unwire", "reset", "unmap 10000000"])
    #expect(try rig.events() == [.quiesced])
  }

  @Test func aDriverThatGivesUp() throws {
    let rig = try SessionRig()
    try rig.serve()
    try rig.say(.failed(code: .timeout, errno: 110, deviceStatus: 7, detail: "CSTS"))
    #expect(
      try rig.events() == [
        .driverFailed(code: .timeout, errno: 110, deviceStatus: 7, detail: "CSTS"), .driverLost(.failed),
      ])
  }

  @Test func aDriverThatNeverBecomesReady() throws {
    let rig = try SessionRig(startTimeout: 1)
    _ = try rig.events()
    try rig.attach()
    var events: [BrokerEvent] = []
    try rig.wait {
      events += try rig.events()
      return !events.isEmpty
    }
    #expect(events == [.driverLost(.startTimeout)])
  }

  @Test func aHeartbeat() throws {
    let rig = try SessionRig(heartbeatInterval: 1)
    try rig.serve()
    var beats = 0
    try rig.wait {
      if case .ping(let sequence) = try rig.hear() {
        beats += 1
        #expect(sequence == UInt32(beats))
        try rig.driver.send(.pong(sequence: sequence), generation: rig.generation)
      }
      return beats == 5
    }
    #expect(try rig.events().isEmpty)
    #expect(rig.proxy.calls.contains("tick"))
  }

  @Test func aHeartbeatWithoutAnswer() throws {
    let rig = try SessionRig(heartbeatInterval: 1, heartbeatTimeout: 2)
    try rig.serve()
    var events: [BrokerEvent] = []
    try rig.wait {
      events += try rig.events()
      return !events.isEmpty
    }
    #expect(events == [.driverLost(.unresponsive)])
    #expect(rig.backing.operations == ["bus-master off"])
  }

  @Test func configSpaceIsFiltered() throws {
    let rig = try SessionRig()
    try rig.attach()
    try rig.say(.hello(name: "n", version: "1"))
    _ = try rig.hear()
    _ = try rig.events()
    try rig.say(.configRead(offset: 0x2E, width: 2))
    #expect(try rig.hear() == .configValue(value: 0x1100, errno: 0))
    rig.backing.forgetOperations()
    try rig.say(.configWrite(offset: 0x04, width: 2, value: 6))
    #expect(try rig.hear() == .configValue(value: .max, errno: UInt16(EPERM)))
    #expect(rig.backing.operations.isEmpty, "a refused write does not reach the device")
    guard case .violation(.configDenied, count: 1, _) = try rig.events().first else {
      throw Failure("test", "no violation")
    }
    try rig.say(.configWrite(offset: 0x06, width: 2, value: 0x8000))
    #expect(try rig.hear() == .configValue(value: 0x8000, errno: 0))
    #expect(rig.backing.operations == ["config-write 6"])
    rig.backing.failures["config-write 6"] = Failure("vfio-config", "write")
    try rig.say(.configWrite(offset: 0x06, width: 2, value: 0x8000))
    #expect(try rig.hear() == .configValue(value: .max, errno: UInt16(EIO)))
  }

  @Test func counters() throws {
    let rig = try SessionRig()
    _ = try rig.events()
    try rig.command(.report)
    guard case .counters(let counters) = try rig.events().first else { throw Failure("test", "no counters") }
    #expect(counters.reads == 17)
    #expect(counters.resets == 1, "the first, before any driver")
  }

  /// The counters end a report: whoever waits for them has everything then.
  @Test func latenciesComeBeforeTheCounters() throws {
    let rig = try SessionRig()
    _ = try rig.events()
    rig.proxy.latencies = RequestKind.allCases.map { LatencyHistogram($0, total: 5) }
    try rig.command(.report)
    let events = try rig.events()
    #expect(events.dropLast() == RequestKind.allCases.map { .latency(LatencyHistogram($0, total: 5)) }[...])
    guard case .counters = events.last else { throw Failure("test", "no counters at the end") }
  }

  /// Nobody to tell, but somebody's disk: the present driver is served on, and its end is the broker's.
  @Test func theSupervisorLeaves() throws {
    let rig = try SessionRig()
    try rig.serve()
    shutdown(rig.supervisor.socket, Int32(SHUT_RDWR))
    try rig.turn()
    #expect(rig.session.exitStatus == nil)
    try rig.say(.configRead(offset: 0, width: 4))
    #expect(try rig.hear() == .configValue(value: 0x0010_1B36, errno: 0))
    try rig.hangUp()
    #expect(rig.session.exitStatus == 0)
    #expect(rig.backing.isClosed)
  }

  @Test func theSupervisorLeavesAnIdleBroker() throws {
    let rig = try SessionRig()
    shutdown(rig.supervisor.socket, Int32(SHUT_RDWR))
    try rig.turn()
    #expect(rig.session.exitStatus == 0)
  }
}
