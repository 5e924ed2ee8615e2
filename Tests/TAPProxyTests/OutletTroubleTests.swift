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

/// What a broker does when the interface, the kernel or the driver's rings behave in a way that nobody would have chosen.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct OutletTroubleTests {
  private func links(_ rig: ProxyRig) -> [NetworkLink] {
    rig.host.events.compactMap { if case .networkLink(let link) = $0 { link } else { nil } }
  }

  @Test func aFloodOfLinksMovesTheCarrierAndIsToldOnceInAWhile() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try NamespaceRig.run("ip", "link", "set", "bh0", "up")
      try rig.serve()
      rig.host.forget()
      let start = monotonicNow()
      for turn in 0..<999 { try rig.proxy.driverSays(.networkLink(turn % 2 == 0 ? .down : ProxyRig.link)) }
      #expect(try !rig.link().hasCarrier, "at once")
      try rig.wait { links(rig).last == .down }
      let elapsed = monotonicNow() - start
      #expect(links(rig).count <= Int(elapsed / 100_000_000) + 1)
      try rig.proxy.driverSays(.networkLink(ProxyRig.link))
      #expect(try rig.link().hasCarrier)
      // The driver dies before that was told; nothing is told of its link afterwards but that.
      rig.proxy.driverGone()
      rig.host.forget()
      rig.loop.after(3 * LinkReports.interval) { rig.host.tellSupervisor(.configured, files: []) }
      try rig.wait { rig.host.events.contains(.configured) }
      #expect(links(rig).isEmpty)
    }
  }

  // MARK: Offloads

  /// What `ethtool -K NAME tso` sets and `ethtool -k` shows, for ETHTOOL_STSO and ETHTOOL_GTSO of linux/ethtool.h.
  private func tso(_ isOn: Bool? = nil) throws -> Bool {
    let file = try checked(socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0), "rig", "open a socket")
    defer { close(file) }
    var value: (command: UInt32, data: UInt32) = (isOn == nil ? 0x1E : 0x1F, isOn == true ? 1 : 0)
    // struct ifreq: 16 octets of name, then a union of 24.
    var request = [UInt8](repeating: 0, count: 40)
    for (place, octet) in "bh0".utf8.enumerated() { request[place] = octet }
    let result = withUnsafeMutablePointer(to: &value) { value in
      request.withUnsafeMutableBytes { bytes in
        bytes.storeBytes(of: UInt(bitPattern: value), toByteOffset: 16, as: UInt.self)
        // SIOCETHTOOL.
        return ioctl(file, 0x8946, bytes.baseAddress!)
      }
    }
    guard result == 0 else { throw Failure("rig", "ask bh0 for its offloads", errno: errno) }
    return value.data != 0
  }

  @Test func whatTheAdministratorSwitchedOffStaysOffForTheNextDriver() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try rig.serve()
      #expect(try tso())
      _ = try tso(false)
      #expect(try !tso())
      rig.proxy.driverGone()
      try rig.serve()
      #expect(try !tso())
      // A driver that does less, and one that does it again: now the kernel has to be told.
      rig.proxy.driverGone()
      var port = ProxyRig.port
      port.offloads = []
      try rig.serve(port: port)
      #expect(try !tso())
      rig.proxy.driverGone()
      try rig.serve()
      #expect(try tso())
    }
  }

  // MARK: The interface goes

  /// poll(2) says of a TAP without an interface that there is an error, whatever it was asked and as often as it is asked.
  @Test func aBrokerWhoseInterfaceWasDeletedSleeps() throws {
    try NamespaceRig.run {
      let rig = try ProxyRig()
      try rig.serve()
      try NamespaceRig.run("ip", "link", "delete", "bh0")
      // Wakes of a driver that knows nothing of it.
      rig.driver.send(WorkerRig.frame(60))
      var isOver = false
      rig.loop.after(100_000_000) { isOver = true }
      var turns = 0
      while !isOver {
        while rig.proxy.poll() {}
        try rig.loop.turn(waiting: 1_000_000_000)
        turns += 1
      }
      #expect(turns < 20)
      #expect(!rig.host.isDistrusted && rig.host.violations.isEmpty)
      rig.proxy.driverGone()
    }
  }
}

/// vhost-net as far as it does what it is told, with the rings where it was told.
private final class ObedientVhost: VhostInterface {
  var cannotStop = false

  func getFeatures(_ features: inout VirtioNetFeatures) -> Int32 {
    features = [.version1, .eventIndex]
    return 0
  }

  func perform(_ call: VhostCall) -> Int32 {
    if case .setBackend(_, nil) = call, cannotStop { return -EIO }
    return 0
  }

  func close() {}
}

@Suite struct VhostDatapathTests {
  private let layout = SlottedQueueLayout(queueSize: 16, slots: 0, slotSize: 0)

  private func start(_ datapath: VhostDatapath, _ driver: DriverSide) throws(Failure) {
    try datapath.start(driver.queues, features: [.version1, .eventIndex], taps: [99]) { _, _ in }
  }

  /// That is what makes the broker give up, and the next one begin anew.
  @Test func afterAStopThatFailedNoDriverIsServed() throws {
    let vhost = ObedientVhost()
    let datapath = try VhostDatapath([vhost], loop: EventLoop(), busyPoll: 0)
    let driver = try DriverSide(layout: layout)
    try start(datapath, driver)
    datapath.stop()
    try start(datapath, driver)
    vhost.cannotStop = true
    datapath.stop()
    vhost.cannotStop = false
    let next = try DriverSide(layout: layout)
    let failure = try #require(throws: Failure.self) { try start(datapath, next) }
    withExtendedLifetime(driver) {}
    #expect(failure.code == "vhost-state" && failure.hint.contains("new broker"))
  }

  @Test(arguments: [1, 11]) func aFrameThatTheKernelCannotGetPastIsFound(length: UInt32) throws {
    let datapath = try VhostDatapath([ObedientVhost()], loop: EventLoop(), busyPoll: 0)
    let driver = try DriverSide(layout: layout)
    try start(datapath, driver)
    #expect(datapath.stuck() == nil)
    driver.offer(.inbound, [VirtqueueDescriptor(address: AddressMap.arena, length: length)])
    #expect(datapath.stuck() == nil, "it may be about to be taken")
    #expect(datapath.stuck()?.contains("a frame of \(length) bytes") == true)
    #expect(datapath.stuck() != nil, "as long as it stays")
    driver.use(.inbound, 1)
    #expect(datapath.stuck() == nil)
    datapath.stop()
    withExtendedLifetime(driver) {}
    #expect(datapath.stuck() == nil)
  }

  /// The kernel is busy, or the interface is; and chains that vhost-net refuses itself.
  @Test func whatIsLongEnoughMayStandStill() throws {
    for chain: [VirtqueueDescriptor] in [
      [VirtqueueDescriptor(address: AddressMap.arena, length: 12)],
      [
        VirtqueueDescriptor(address: AddressMap.arena, length: 6, flags: VirtqueueDescriptor.flagNext, next: 1),
        VirtqueueDescriptor(address: AddressMap.arena, length: 6),
      ],
      [VirtqueueDescriptor(address: AddressMap.arena, length: 0, flags: VirtqueueDescriptor.flagNext, next: 0)],
      [VirtqueueDescriptor(address: AddressMap.arena, length: 1, flags: VirtqueueDescriptor.flagNext, next: 99)],
    ] {
      let datapath = try VhostDatapath([ObedientVhost()], loop: EventLoop(), busyPoll: 0)
      let driver = try DriverSide(layout: layout)
      try start(datapath, driver)
      driver.offer(.inbound, chain)
      for _ in 0..<3 { #expect(datapath.stuck() == nil) }
      datapath.stop()
      withExtendedLifetime(driver) {}
    }
  }

  /// Each of them stood at the head for a moment, and vhost-net went on.
  @Test func shortFramesThatWereTakenAreNotStuck() throws {
    let datapath = try VhostDatapath([ObedientVhost()], loop: EventLoop(), busyPoll: 0)
    let driver = try DriverSide(layout: layout)
    try start(datapath, driver)
    for _ in 0..<4 {
      driver.offer(.inbound, [VirtqueueDescriptor(address: AddressMap.arena, length: 5)])
      #expect(datapath.stuck() == nil)
      driver.use(.inbound, 1)
    }
    datapath.stop()
    withExtendedLifetime(driver) {}
  }
}
