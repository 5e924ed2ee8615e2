import Glibc
import NamespaceRig
import Netlink
import Platform
import Protocol
import Testing

@testable import Supervisor

/// Interfaces of the real kernel whose files outlive the supervisor.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct KeptInterfaceTests {
  private let names = ["tap/ffff-00-00.0/0", "tap/ffff-00-00.0/1"]

  /// A supervisor with an interface of two queues, in the thread's namespace.
  private func world(
    _ manager: ServiceManager, after earlier: NetworkWorld? = nil, queues: Int = 2, name: String? = nil
  ) throws -> NetworkWorld {
    let world = try NetworkWorld(after: earlier, keeping: manager) {
      $0.limits.queues = queues
      $0.outlet.interface.name = name
    }
    try world.prepare()
    return world
  }

  /// Moves the interface to another namespace, as another link of that name sits on its number there.
  private func move(_ world: NetworkWorld) throws -> (there: NetworkNamespace, index: Int32) {
    let there = try NetworkNamespace.make()
    let index = try #require(try world.link()).index
    try LinkControl().change(
      index: index,
      LinkChange(name: "inside", address: HardwareAddress("52:54:00:00:00:42"), isUp: true, namespace: there))
    return (there, try #require(try LinkControl(namespace: there).link(named: "inside")).index)
  }

  /// Whether the interface that was moved goes. A tool that another test starts has a copy of each file until it executes.
  private func goes(from there: NetworkNamespace) throws -> Bool {
    let control = try LinkControl(namespace: there)
    for _ in 0..<500 {
      if try control.link(named: "inside") == nil { return true }
      usleep(10_000)
    }
    return false
  }

  @Test func whatWasMovedIsFoundAgain() throws {
    try NamespaceRig.run {
      let manager = try ServiceManager()
      let killed = try world(manager)
      #expect(try manager.names() == names)
      try killed.startBroker()
      try killed.say(.networkPort(NetworkWorld.port))
      let (there, index) = try move(killed)
      try killed.wait { try $0.outlet.monitor?.link.name == "inside" }
      try killed.die()
      #expect(try LinkControl(namespace: there).link(index: index) != nil, "systemd holds it")

      let next = try world(manager, after: killed)
      let link = try #require(try LinkControl(namespace: there).link(named: "inside"))
      #expect(link.index == index && link.isUp && !link.hasCarrier)
      #expect(link.address == HardwareAddress("52:54:00:00:00:42"))
      #expect(try next.link() == nil, "no other one is made")
      #expect(try next.outlet.interface?.isMoved == true)
      #expect(try next.outlet.description()?.interface?.namespace == "\(there.identity())", "it has no name")
      #expect(try manager.names() == names, "nothing is kept twice")
      // It is followed where it is.
      try next.startBroker()
      try next.say(.networkPort(NetworkWorld.port))
      try next.wait { $0.settings.last?.isEnabled == true }
      #expect(next.configuration?.network?.queuePairs == 2)
      try LinkControl(namespace: there).change(index: index, LinkChange(mtu: 1400))
      try next.wait { $0.settings.last?.mtu == 1400 }
      // A second time.
      try next.die()
      let third = try world(manager, after: killed)
      #expect(try third.outlet.interface?.index == index && manager.names() == names)
      #expect(third.session.release(isGone: false) == nil)
      #expect(try goes(from: there))
      #expect(try manager.names().isEmpty)
    }
  }

  @Test func movedWhileNobodyLooked() throws {
    try NamespaceRig.run {
      let manager = try ServiceManager()
      let killed = try world(manager)
      try killed.die()
      let (there, index) = try move(killed)
      let next = try world(manager, after: killed)
      #expect(try next.outlet.interface?.index == index && next.outlet.interface?.isMoved == true)
      #expect(try next.link() == nil)
      // It came home meanwhile, under a number that it has not had before, and outlives its files again.
      try next.die()
      try NamespaceRig.run("ip", "link", "add", "filler", "type", "bridge")
      let home = try NetworkNamespace.current()
      try LinkControl(namespace: there).change(index: index, LinkChange(name: "bh-nic", namespace: home))
      let third = try world(manager, after: killed)
      let link = try #require(try third.link())
      #expect(try third.outlet.interface?.isMoved == false)
      #expect(try third.outlet.description()?.interface?.namespace == nil)
      #expect(third.session.record.interface?.index == link.index)
      #expect(try NamespaceRig.run("ip", "-d", "link", "show", "bh-nic").contains("persist on"))
      _ = third.session.release(isGone: false)
      #expect(try third.link() == nil && manager.names().isEmpty)
    }
  }

  @Test func oneThatStaysIsTheSame() throws {
    try NamespaceRig.run {
      let manager = try ServiceManager()
      let killed = try world(manager)
      let index = try #require(try killed.link()).index
      try killed.outlet.interface?.tap.setCarrier(true)
      try killed.outlet.interface?.tap.useQueues(1)
      try killed.die()
      try NamespaceRig.run("ip", "link", "set", "bh-nic", "name", "lan0")
      let next = try world(manager, after: killed)
      let link = try #require(try next.link("lan0"))
      #expect(link.index == index && !link.hasCarrier)
      let tap = try #require(try next.outlet.interface?.tap)
      #expect(tap.queues.map(\.isAttached) == [true, true])
      #expect(next.session.record.interface?.name == "lan0")
      _ = next.session.release(isGone: false)
    }
  }

  @Test(arguments: [1, 2]) func anotherNumberOfQueues(_ queues: Int) throws {
    try NamespaceRig.run {
      let manager = try ServiceManager()
      let killed = try world(manager, queues: 3 - queues)
      try killed.die()
      let (there, _) = try move(killed)
      let next = try world(manager, after: killed, queues: queues)
      #expect(try next.outlet.interface?.tap.queues.count == queues)
      #expect(try manager.names() == (0..<queues).map { "tap/ffff-00-00.0/\($0)" })
      var shown = ""
      try NamespaceRig.run(in: there) { shown = try NamespaceRig.run("ip", "-d", "link", "show", "inside") }
      #expect(shown.contains("numqueues \(queues) "))
      _ = next.session.release(isGone: false)
    }
  }

  @Test func filesOfADeletedOneAreOfNoUse() throws {
    try NamespaceRig.run {
      let manager = try ServiceManager()
      let killed = try world(manager)
      let index = try #require(try killed.link()).index
      try killed.die()
      try NamespaceRig.run("ip", "link", "delete", "bh-nic")
      let next = try world(manager, after: killed)
      let link = try #require(try next.link())
      #expect(link.index != index)
      #expect(try manager.names() == names, "those of the new one")
      _ = next.session.release(isGone: false)
    }
  }

  @Test func theConfigurationWantsAnother() throws {
    try NamespaceRig.run {
      let manager = try ServiceManager()
      let killed = try world(manager)
      try killed.die()
      let (there, _) = try move(killed)
      let next = try world(manager, after: killed, name: "lan0")
      #expect(try next.link("lan0") != nil)
      #expect(try manager.names() == names)
      #expect(try goes(from: there))
      _ = next.session.release(isGone: false)
    }
  }

  @Test func aDeviceThatIsNotStartedLeavesNothing() throws {
    try NamespaceRig.run {
      let manager = try ServiceManager()
      let killed = try world(manager)
      try killed.die()
      let (there, _) = try move(killed)
      let next = try NetworkWorld(after: killed, keeping: manager)
      #expect(next.session.isLeftTaken)
      #expect(next.session.release(isGone: false) == nil)
      #expect(try manager.names().isEmpty && !next.session.isLeftTaken)
      #expect(try goes(from: there))
    }
  }

  @Test func aDeletedInterfaceIsNotKept() throws {
    try NamespaceRig.run {
      let manager = try ServiceManager()
      let world = try world(manager)
      try world.startBroker()
      try NamespaceRig.run("ip", "link", "delete", "bh-nic")
      try world.wait { $0.session.broker == nil }
      #expect(try manager.names().isEmpty)
      _ = world.session.release(isGone: false)
    }
  }
}
