import Broker
import CBulkhead
import Glibc
import NamespaceRig
import Netlink
import Platform
import Protocol
import TAP
import Testing
import Virtqueue

@testable import TAPProxy

/// The proxy with a real interface, whose frames the broker carries itself, and a driver in this process.
final class ProxyRig {
  static let port = NetworkPort(
    address: HardwareAddress(0x52, 0x54, 0, 0, 0, 7), maximumMTU: 9000,
    offloads: [.transmitChecksum, .transmitTCP4, .transmitTCP6, .receiveChecksum], queuePairs: 1, model: "Test",
    firmware: "1")
  static let link = NetworkLink(isUp: true, speed: 1000, isFullDuplex: true)

  let loop = EventLoop()
  let host = RecordingHost()
  let interface: TAPInterface
  let proxy: TAPProxy
  private(set) var driver: DriverSide

  /// In the thread's namespace.
  init() throws {
    interface = try TAPInterface(name: InterfaceName("bh0"))
    let file = try checked(fcntl(interface.queues[0].file, F_DUPFD_CLOEXEC, 3), "rig", "copy a file")
    let configuration = BrokerConfiguration(
      address: "0000:03:00.0", group: 1, deviceClass: .network, uid: 1000, bars: 1, interrupts: 3, queues: 2,
      queueSize: 64, arenaSize: UInt32(DriverSide.arenaSize), payloadSize: 0, mapsPayload: false, readOnly: false,
      unitLimit: 1, kernelConnections: 0, heartbeatInterval: 1000, heartbeatTimeout: 3000, startTimeout: 3000,
      spinMicroseconds: 0, interruptLimit: 0,
      network: NetworkOutletConfiguration(queuePairs: 1, usesVhost: false))
    proxy = try TAPProxy(
      ProxyContext(
        configuration: configuration, loop: loop, payload: UnsafeMutableRawBufferPointer(start: nil, count: 0),
        listener: nil, outlet: [file]))
    proxy.attach(to: host)
    driver = try DriverSide(layout: proxy.queueLayout)
    host.onDistrust = { [unowned self] in self.proxy.driverGone() }
  }

  func serve(port: NetworkPort = ProxyRig.port) throws {
    driver = try DriverSide(layout: proxy.queueLayout)
    proxy.driverAttached()
    try proxy.driverSays(.networkPort(port))
    try proxy.driverSays(.networkLink(Self.link))
    try proxy.driverReady()
    try proxy.driverServes(driver.queues)
  }

  func link() throws -> Link { try #require(try LinkControl().link(named: "bh0")) }

  /// Lets the loop turn until something holds.
  func wait(until condition: () throws -> Bool) throws {
    let deadline = monotonicNow() + 20_000_000_000
    while try !condition() {
      try #require(monotonicNow() < deadline, "never happened")
      while proxy.poll() {}
      try loop.turn(waiting: 10_000_000)
    }
  }
}

@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct ProxyTests {
  private func settings(_ mtu: UInt16 = 1500) -> NetworkSettings {
    NetworkSettings(sequence: 99, isEnabled: true, address: ProxyRig.port.address, mtu: mtu)
  }

  @Test func aDriverIsToldTheSettingsBeforeItStartsAndAgainTheNextOne() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try rig.serve()
      guard case .networkSettings(let first)? = rig.host.told.first else {
        return #expect(Bool(false), "told \(rig.host.told)")
      }
      #expect(first.sequence == 1 && !first.isEnabled && first.address == ProxyRig.port.address && first.mtu == 1500)
      rig.proxy.supervisorSays(settings(9000))
      rig.host.forget()
      rig.proxy.driverGone()
      #expect(rig.host.events == [.networkLink(.down)])
      try rig.serve()
      guard case .networkSettings(let second)? = rig.host.told.first else {
        return #expect(Bool(false), "told \(rig.host.told)")
      }
      #expect(second.sequence == 1 && second.isEnabled && second.mtu == 9000)
    }
  }

  @Test func noDriverIsAskedForALargerMTUThanItsPortHas() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      var port = ProxyRig.port
      port.maximumMTU = 1460
      // At rest, and as wanted before anybody knew the port.
      for wanted in [nil, settings(1500), settings(1400)] {
        if let wanted { rig.proxy.supervisorSays(wanted) }
        rig.host.forget()
        try rig.serve(port: port)
        guard case .networkSettings(let told)? = rig.host.told.first else {
          return #expect(Bool(false), "told \(rig.host.told)")
        }
        #expect(told.mtu == (wanted?.mtu == 1400 ? 1400 : 1460))
        rig.proxy.driverGone()
      }
    }
  }

  @Test func settingsThatADriverDidNotTakeAreRepeated() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try rig.serve()
      rig.host.forget()
      rig.host.isReading = false
      rig.proxy.supervisorSays(settings())
      #expect(rig.host.told.isEmpty)
      rig.host.isReading = true
      rig.proxy.tick()
      rig.proxy.tick()
      #expect(rig.host.told.count == 1)
    }
  }

  /// Under the supervisor's number, whichever the driver had for them.
  @Test func anAnswerIsToldWithTheSupervisorsNumber() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try rig.serve()
      rig.host.forget()
      var wanted = settings()
      for number in 41...43 as ClosedRange<UInt32> {
        wanted.sequence = number
        rig.proxy.supervisorSays(wanted)
      }
      // 1 were the driver's at rest.
      try rig.proxy.driverSays(.networkApplied(sequence: 1, errno: 0))
      try rig.proxy.driverSays(.networkApplied(sequence: 2, errno: 0))
      try rig.proxy.driverSays(.networkApplied(sequence: 4, errno: 22))
      #expect(
        rig.host.events == [
          .networkApplied(sequence: 0, errno: 0), .networkApplied(sequence: 41, errno: 0),
          .networkApplied(sequence: 43, errno: 22),
        ])
      rig.proxy.driverGone()
      try rig.serve()
      rig.host.forget()
      try rig.proxy.driverSays(.networkApplied(sequence: 1, errno: 0))
      #expect(rig.host.events == [.networkApplied(sequence: 43, errno: 0)])
    }
  }

  @Test func carrierFollowsTheLinkAndTheDriver() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try NamespaceRig.run("ip", "link", "set", "bh0", "up")
      #expect(try !rig.link().hasCarrier)
      try rig.serve()
      #expect(try rig.link().hasCarrier)
      try rig.proxy.driverSays(.networkLink(.down))
      #expect(try !rig.link().hasCarrier)
      try rig.proxy.driverSays(.networkLink(ProxyRig.link))
      #expect(try rig.link().hasCarrier)
      rig.proxy.driverGone()
      #expect(try !rig.link().hasCarrier)
    }
  }

  @Test func framesCrossTheRealInterface() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try NamespaceRig.run("ip", "link", "set", "bh0", "addrgenmode", "none")
      try rig.serve()
      try NamespaceRig.run("ip", "link", "set", "bh0", "address", "52:54:00:00:00:07", "up")
      try NamespaceRig.run("ip", "address", "add", "192.0.2.1/24", "dev", "bh0")
      for buffer in 0..<8 { rig.driver.offerBuffer(buffer, offset: 4096 * (buffer + 1)) }
      // RFC 826: who has 192.0.2.1? Tell 192.0.2.2.
      let question: [UInt8] =
        [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]
        + [2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]
      rig.driver.send(question)
      var answer: [UInt8] = []
      try rig.wait {
        guard let used = try rig.driver.next(.outbound) else { return false }
        answer = rig.driver[4096 * (Int(used.id) + 1) + 12, Int(used.length) - 12]
        return true
      }
      #expect(Array(answer[..<14]) == [2, 0, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 7, 8, 6])
      #expect(Array(answer[20..<22]) == [0, 2], "a reply")
      var counters = BrokerCounters()
      rig.proxy.addCounters(to: &counters)
      #expect(counters.framesIn == 1 && counters.framesOut == 1)
      #expect(rig.host.violations.isEmpty)
    }
  }

  @Test func headersThatContradictTheirFramesAreCounted() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try rig.serve()
      try NamespaceRig.run("ip", "link", "set", "bh0", "up")
      // The checksum begins behind the end of the frame; an unknown kind of segments; segments of no size.
      let lies: [[UInt8]] = [
        [1, 0, 0, 0, 0, 0, 0xFF, 0x7F, 16, 0, 0, 0], [0, 9, 54, 0, 0xE8, 3, 0, 0, 0, 0, 0, 0],
        [1, 1, 54, 0, 0, 0, 34, 0, 16, 0, 0, 0],
      ]
      for (index, lie) in lies.enumerated() {
        rig.driver.send(WorkerRig.frame(100), header: lie, at: index * 4096, first: index)
        try rig.wait { try rig.driver.next(.inbound) != nil }
      }
      #expect(rig.host.violations == [.frameInvalid, .frameInvalid, .frameInvalid])
      #expect(!rig.host.isDistrusted, "the frame is dropped, and that is all")
      var counters = BrokerCounters()
      rig.proxy.addCounters(to: &counters)
      #expect(counters.framesRefused == 3 && counters.framesIn == 0)
    }
  }

  @Test func aLyingRingLosesItsDriverAndTheNextOneServes() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try rig.serve()
      try NamespaceRig.run("ip", "link", "set", "bh0", "up")
      let index = try rig.link().index
      rig.driver.offer(.inbound, [VirtqueueDescriptor(address: AddressMap.rings, length: 64)])
      while rig.proxy.poll() {}
      #expect(rig.host.isDistrusted && rig.host.violations == [.descriptorInvalid])
      #expect(try !rig.link().hasCarrier)
      while rig.proxy.poll() {}
      #expect(rig.host.violations.count == 1, "said once")
      try rig.serve()
      #expect(try rig.link().hasCarrier && rig.link().index == index)
    }
  }

  @Test func whatADriverMayNotSayIsRefused() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      rig.proxy.driverAttached()
      #expect(throws: ProxyRefusal.self) { try rig.proxy.driverReady() }
      var port = ProxyRig.port
      port.queuePairs = 2
      #expect(throws: ProxyRefusal.self) { try rig.proxy.driverSays(.networkPort(port)) }
      try rig.proxy.driverSays(.networkPort(ProxyRig.port))
      #expect(throws: ProxyRefusal.self) { try rig.proxy.driverSays(.networkPort(ProxyRig.port)) }
      #expect(throws: ProxyRefusal.self) { try rig.proxy.driverSays(.networkStatistics(NetworkStatistics())) }
      #expect(throws: ProxyRefusal.self) { try rig.proxy.driverSays(.networkApplied(sequence: 1, errno: 0)) }
      try rig.proxy.driverReady()
      try rig.proxy.driverSays(.networkApplied(sequence: 1, errno: 0))
      #expect(throws: ProxyRefusal.self) { try rig.proxy.driverSays(.networkApplied(sequence: 1, errno: 0)) }
      #expect(throws: ProxyRefusal.self) {
        try rig.proxy.driverSays(
          .blockUnit(
            BlockUnit(
              index: 0, identifier: 1, blockSize: 512, blocks: 1, maximumTransfer: 4096, atomicWrite: 512,
              features: [], model: "", serial: "", worldWideName: "")))
      }
    }
  }

  @Test func countsAreAskedOfTheDriverAndNotTakenOtherwise() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try rig.serve()
      rig.host.forget()
      var counters = BrokerCounters()
      for _ in 0..<9 { rig.proxy.addCounters(to: &counters) }
      #expect(
        rig.host.told == Array(repeating: .networkCount, count: 4), "a driver that does not answer is not flooded")
      for _ in 0..<4 { try rig.proxy.driverSays(.networkStatistics(NetworkStatistics())) }
      #expect(throws: ProxyRefusal.self) { try rig.proxy.driverSays(.networkStatistics(NetworkStatistics())) }
    }
  }

  @Test func theRequestsOfTheFilterAreTheKernels() {
    let rules = OutletRules.of(taps: [5], vhosts: [6])
    var known: Set<UInt64> = []
    for index in 0..<UInt32(32) {
      known.insert(UInt64(bh_tap_ioctl_number(index)))
      known.insert(UInt64(bh_vhost_ioctl_number(index)))
    }
    for rule in rules {
      guard case .equal(let number)? = rule.conditions.last?.comparison else { continue }
      #expect(known.contains(number), "\(rule)")
    }
    #expect(rules.count == 14)
    #expect(OutletRules.of(taps: [5], vhosts: []).map(\.call) == ["readv", "writev", "ioctl", "ioctl", "ioctl"])
  }
}
