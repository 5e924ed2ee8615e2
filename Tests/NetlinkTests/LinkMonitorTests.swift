import Glibc
import NamespaceRig
import Platform
import Protocol
import Testing

@testable import Netlink

/// `ip` changes things, the monitor hears of it.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct LinkMonitorTests {
  /// Half of a veth pair, `left`, and who follows it.
  private final class World {
    let loop = EventLoop()
    let monitor: LinkMonitor
    private let box = Box()

    private final class Box { var events: [LinkEvent] = [] }

    init(interval: Nanoseconds = 0) throws {
      try NamespaceRig.run("ip", "link", "add", "left", "type", "veth", "peer", "name", "right")
      let index = try #require(try LinkControl().link(named: "left")).index
      let box = box
      monitor = try LinkMonitor(loop: loop, index: index, interval: interval) { event in
        box.events.append(event)
      }
    }

    /// Turns the loop until `condition` holds; a kernel that tells nothing makes the test fail, not hang.
    func wait(for condition: (LinkMonitor) -> Bool) throws -> [LinkEvent] {
      var turns = 0
      while !condition(monitor), turns < 200 {
        try loop.turn(waiting: 50_000_000)
        turns += 1
      }
      #expect(condition(monitor))
      defer { box.events = [] }
      return box.events
    }

    func waitForEnd() throws -> LinkEvent? {
      var turns = 0
      while box.events.last != .removed, turns < 200 {
        try loop.turn(waiting: 50_000_000)
        turns += 1
      }
      return box.events.last
    }

    func set(_ words: String...) throws {
      switch words.count {
      case 1: try NamespaceRig.run("ip", "link", "set", "left", words[0])
      default: try NamespaceRig.run("ip", "link", "set", "left", words[0], words[1])
      }
    }
  }

  private func aspects(_ events: [LinkEvent]) -> LinkAspects {
    events.reduce(into: []) { all, event in
      if case .changed(let aspects) = event { all.formUnion(aspects) }
    }
  }

  @Test func hearsOfEachChange() throws {
    try NamespaceRig.run {
      let world = try World()
      try world.set("up")
      #expect(aspects(try world.wait { $0.link.isUp }).contains(.up))
      try world.set("mtu", "1400")
      #expect(aspects(try world.wait { $0.link.mtu == 1400 }).contains(.mtu))
      try world.set("address", "52:54:00:00:00:77")
      let address = HardwareAddress("52:54:00:00:00:77")
      #expect(aspects(try world.wait { $0.link.address == address }).contains(.address))
      try world.set("promisc", "on")
      #expect(aspects(try world.wait { $0.link.isPromiscuous }).contains(.promiscuity))
      try world.set("promisc", "off")
      #expect(aspects(try world.wait { !$0.link.isPromiscuous }).contains(.promiscuity))
      try world.set("allmulticast", "on")
      #expect(aspects(try world.wait { $0.link.allMulticast > 0 }).contains(.allMulticast))
      try world.set("alias", "outlet")
      #expect(aspects(try world.wait { $0.link.alias == "outlet" }).contains(.alias))
      try NamespaceRig.run("ip", "link", "set", "right", "up")
      #expect(aspects(try world.wait { $0.link.hasCarrier }).contains(.carrier))
      try world.set("down")
      #expect(aspects(try world.wait { !$0.link.isUp }).contains(.up))
      try world.set("name", "other")
      #expect(aspects(try world.wait { $0.link.name == "other" }).contains(.name))
    }
  }

  @Test func aBridgeMakesItPromiscuousAndItsLeavingIsNotItsEnd() throws {
    try NamespaceRig.run {
      let world = try World()
      try NamespaceRig.run("ip", "link", "add", "br0", "type", "bridge")
      try world.set("master", "br0")
      let joined = aspects(try world.wait { $0.link.master != nil && $0.link.isPromiscuous })
      #expect(joined.isSuperset(of: [.master, .promiscuity]))
      try world.set("nomaster")
      let left = try world.wait { $0.link.master == nil && !$0.link.isPromiscuous }
      #expect(!left.contains(.removed))
      // It is still followed.
      try world.set("mtu", "1300")
      #expect(aspects(try world.wait { $0.link.mtu == 1300 }) == .mtu)
    }
  }

  @Test func otherLinksAreNotItsBusiness() throws {
    try NamespaceRig.run {
      let world = try World()
      try NamespaceRig.run("ip", "link", "set", "right", "mtu", "1280")
      try NamespaceRig.run("ip", "link", "add", "br0", "type", "bridge")
      try NamespaceRig.run("ip", "link", "delete", "br0")
      try world.set("mtu", "1400")
      #expect(try world.wait { $0.link.mtu == 1400 } == [.changed(.mtu)])
    }
  }

  @Test func hearsOfItsEnd() throws {
    try NamespaceRig.run {
      let world = try World()
      try NamespaceRig.run("ip", "link", "delete", "left")
      #expect(try world.waitForEnd() == .removed)
    }
    try NamespaceRig.run {
      let world = try World()
      let there = try NetworkNamespace.make()
      try LinkControl().change(index: world.monitor.link.index, LinkChange(namespace: there))
      #expect(try world.waitForEnd() == .removed)
    }
  }

  @Test func multicastAddressesAreLookedAtByTheClock() throws {
    try NamespaceRig.run {
      let world = try World(interval: 5_000_000)
      let group = try #require(HardwareAddress("33:33:00:00:47:11"))
      #expect(!world.monitor.multicast.contains(group))
      try NamespaceRig.run("ip", "maddress", "add", "33:33:00:00:47:11", "dev", "left")
      #expect(aspects(try world.wait { $0.multicast.contains(group) }).contains(.multicastList))
      try NamespaceRig.run("ip", "maddress", "del", "33:33:00:00:47:11", "dev", "left")
      #expect(aspects(try world.wait { !$0.multicast.contains(group) }).contains(.multicastList))
    }
  }

  /// Neither of them comes with a message.
  @Test func whatAProgramOrAnotherInterfaceAsksForIsLookedAtByTheClock() throws {
    try NamespaceRig.run {
      let world = try World(interval: 5_000_000)
      try world.set("up")
      _ = try world.wait { $0.link.isUp }
      #expect(!world.monitor.link.isPromiscuous && world.monitor.link.allMulticast == 0)
      let index = world.monitor.link.index
      let neighbour = try PacketMember(of: index, .address(HardwareAddress(2, 0, 0, 0, 0, 9)))
      #expect(aspects(try world.wait { $0.link.isPromiscuous }).contains(.promiscuity))
      neighbour.leave()
      #expect(aspects(try world.wait { !$0.link.isPromiscuous }).contains(.promiscuity))
      let router = try PacketMember(of: index, .allMulticast)
      #expect(aspects(try world.wait { $0.link.allMulticast > 0 }).contains(.allMulticast))
      router.leave()
      #expect(aspects(try world.wait { $0.link.allMulticast == 0 }).contains(.allMulticast))
    }
  }

  @Test func multicastAddressesAreLookedAtWhenAnAddressComes() throws {
    try NamespaceRig.run {
      let world = try World()
      try world.set("up")
      _ = try world.wait { $0.link.isUp }
      // The solicited-node group of the address (RFC 4291 section 2.7.1).
      let group = try #require(HardwareAddress("33:33:ff:00:12:34"))
      try NamespaceRig.run("ip", "address", "add", "2001:db8::1234/64", "dev", "left", "nodad")
      #expect(aspects(try world.wait { $0.multicast.contains(group) }).contains(.multicastList))
    }
  }

  @Test func afterAnOverrunItLooksAgain() throws {
    try NamespaceRig.run {
      let world = try World()
      // The least that the kernel allows holds less than two descriptions of a link.
      var size: Int32 = 0
      #expect(
        setsockopt(world.monitor.file, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size)) == 0)
      for mtu in 1300..<1320 { try world.set("mtu", "\(mtu)") }
      try world.set("up")
      let events = try world.wait { $0.link.mtu == 1319 && $0.link.isUp }
      #expect(aspects(events).isSuperset(of: [.mtu, .up]))
      #expect(world.monitor.overruns > 0)
      try world.set("mtu", "1500")
      _ = try world.wait { $0.link.mtu == 1500 }
    }
  }

  @Test func aLinkThatIsNotThereIsAFailure() throws {
    try NamespaceRig.run {
      let loop = EventLoop()
      let failure = try #require(throws: Failure.self) { try LinkMonitor(loop: loop, index: 4711) { _ in } }
      #expect(failure.code == "link-lookup")
    }
  }
}
