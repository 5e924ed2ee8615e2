import Glibc
import NamespaceRig
import Netlink
import Platform
import Protocol
import TAP
import Testing

@testable import Supervisor

/// Interfaces of the real kernel, in a namespace of the test's own.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct NetworkInterfaceTests {
  private func wish(_ name: String = "bh-nic") throws -> NetworkInterface.Wish {
    var wish = NetworkInterface.Wish(name: try InterfaceName(name))
    wish.address = HardwareAddress("52:54:00:00:00:01")
    wish.mtu = 9000
    wish.alias = "bulkhead 0000:03:00.0"
    return wish
  }

  /// As the outlet makes it.
  private func made(
    _ wish: NetworkInterface.Wish
  ) throws -> (interface: NetworkInterface, record: StateRecord.Interface) {
    let interface = try NetworkInterface.made(wish)
    try interface.tap.setPersistent(true)
    return (interface, interface.record(configuredName: wish.name, namespace: wish.namespace, alias: wish.alias))
  }

  @Test func itIsMadeAsTheConfigurationWants() throws {
    try NamespaceRig.run {
      try NamespaceRig.run("ip", "link", "add", "br0", "type", "bridge")
      var wanted = try wish()
      wanted.master = "br0"
      wanted.queuePairs = 2
      let (interface, _) = try made(wanted)
      let link = try #require(try LinkControl().link(named: "bh-nic"))
      #expect(link.kind == "tun" && !link.isUp && !link.hasCarrier && link.index == interface.index)
      #expect(link.address == wanted.address && link.mtu == 9000 && link.alias == wanted.alias)
      #expect(link.master == (try LinkControl().link(named: "br0"))?.index)
      #expect(interface.tap.queues.count == 2)
      interface.delete()
      #expect(try LinkControl().link(named: "bh-nic") == nil)
    }
  }

  @Test func aMasterThatIsNotThereLeavesNothing() throws {
    try NamespaceRig.run {
      var wanted = try wish()
      wanted.master = "br0"
      let failure = try #require(throws: Failure.self) { try NetworkInterface.made(wanted) }
      #expect(failure.code == "link-master" && failure.step.contains("br0") && !failure.hint.isEmpty)
      #expect(try LinkControl().link(named: "bh-nic") == nil)
    }
  }

  @Test func itIsFoundAgainWithAllThatHangsOnIt() throws {
    try NamespaceRig.run {
      let (first, record) = try made(wish())
      try NamespaceRig.run("ip", "address", "add", "192.0.2.1/24", "dev", "bh-nic")
      try NamespaceRig.run("ip", "link", "set", "bh-nic", "up", "mtu", "1400", "address", "52:54:00:00:00:99")
      try NamespaceRig.run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.2")
      try first.tap.setCarrier(true)
      // As when the supervisor is killed: all files are closed.
      first.tap.close()
      let alone = try #require(try LinkControl().link(named: "bh-nic"))
      #expect(alone.index == record.index)
      let again = try #require(try NetworkInterface.found(record, queuePairs: 2))
      #expect(again.index == record.index && again.tap.queues.count == 2)
      let link = try #require(try LinkControl().link(index: record.index))
      #expect(link.isUp && !link.hasCarrier && link.mtu == 1400 && link.address == HardwareAddress("52:54:00:00:00:99"))
      #expect(try again.tap.queues[0].headerSize() == NetworkClass.headerSize)
      #expect(try NamespaceRig.run("ip", "address", "show", "bh-nic").contains("192.0.2.1/24"))
      #expect(try NamespaceRig.run("ip", "route", "show").contains("198.51.100.0/24 via 192.0.2.2"))
      again.delete()
    }
  }

  @Test func itIsFoundUnderAnotherName() throws {
    try NamespaceRig.run {
      let (first, record) = try made(wish())
      try NamespaceRig.run("ip", "link", "set", "bh-nic", "name", "lan0")
      first.tap.close()
      let again = try #require(try NetworkInterface.found(record, queuePairs: 1))
      #expect(again.tap.name == "lan0" && again.index == record.index)
      again.delete()
      #expect(try LinkControl().link(named: "lan0") == nil)
    }
  }

  @Test func whatIsNotOursIsLeftAlone() throws {
    try NamespaceRig.run {
      let (first, record) = try made(wish())
      first.delete()
      try NamespaceRig.run("ip", "tuntap", "add", "mode", "tap", "bh-nic")
      let stranger = try #require(try LinkControl().link(named: "bh-nic"))
      #expect(try NetworkInterface.stranger(for: wish(), record: record)?.index == stranger.index)
      #expect(try NetworkInterface.found(record, queuePairs: 1) == nil)
      // Even one that has the same number.
      var same = record
      same.index = stranger.index
      #expect(try NetworkInterface.found(same, queuePairs: 1) == nil)
      try NetworkInterface.delete(same)
      #expect(try LinkControl().link(named: "bh-nic") != nil)
      #expect(throws: Failure.self) { try NetworkInterface.made(wish()) }
      #expect(try NetworkInterface.stranger(for: wish("free"), record: record) == nil)
    }
  }

  @Test func anEarlierOneIsDeletedByItsRecord() throws {
    try NamespaceRig.run {
      let (first, record) = try made(wish())
      #expect(try NetworkInterface.stranger(for: wish(), record: record) == nil)
      first.tap.close()
      try NetworkInterface.delete(record)
      #expect(try LinkControl().link(named: "bh-nic") == nil)
      try NetworkInterface.delete(record)
    }
  }

  @Test func namespaceThatHasNoName() throws {
    try NamespaceRig.run {
      var wanted = try wish()
      wanted.namespace = "bh-test-there-is-none"
      for attempt in [
        { _ = try NetworkInterface.made(wanted) }, { _ = try NetworkInterface.stranger(for: wanted, record: nil) },
      ] {
        let failure = try #require(throws: Failure.self) { try attempt() }
        #expect(failure.code == "network-namespace" && failure.errno == ENOENT && failure.hint.contains("ip netns"))
      }
      // Its namespace is gone, and the interface with it.
      var record = try made(wish()).record
      record.namespace = wanted.namespace
      #expect(try NetworkInterface.found(record, queuePairs: 1) == nil)
      try NetworkInterface.delete(record)
    }
  }

  @Test func itLivesInANamespaceThatHasAName() throws {
    let name = "bh-test-\(getpid())"
    try NamespaceRig.run("ip", "netns", "add", name)
    defer { _ = try? NamespaceRig.run("ip", "netns", "delete", name) }
    try NamespaceRig.run {
      var wanted = try wish()
      wanted.namespace = name
      let (first, record) = try made(wanted)
      #expect(try LinkControl().link(named: "bh-nic") == nil)
      let there = try LinkControl(namespace: NetworkNamespace(named: name))
      #expect(try there.link(named: "bh-nic")?.index == first.index)
      first.tap.close()
      let again = try #require(try NetworkInterface.found(record, queuePairs: 1))
      #expect(again.index == record.index)
      again.delete()
      #expect(try there.link(named: "bh-nic") == nil)
    }
  }

  @Test func itIsFollowedIntoAnotherNamespace() throws {
    try NamespaceRig.run {
      let (interface, _) = try made(wish())
      let there = try NetworkNamespace.make()
      try LinkControl().change(index: interface.index, LinkChange(name: "inside", namespace: there))
      try interface.follow()
      #expect(try interface.control.link(index: interface.index)?.name == "inside")
      interface.delete()
      #expect(try LinkControl(namespace: there).link(named: "inside") == nil)
      let failure = try #require(throws: Failure.self) { try interface.follow() }
      #expect([EBADF, EBADFD].contains(failure.errno))
    }
  }
}
