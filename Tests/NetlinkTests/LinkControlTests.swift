import Glibc
import NamespaceRig
import Platform
import Protocol
import Testing

@testable import Netlink

/// On the real kernel, in a namespace of the test's own, with `ip` as the other administrator.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct LinkControlTests {
  private func pair() throws -> (control: LinkControl, link: Link) {
    try NamespaceRig.run("ip", "link", "add", "left", "type", "veth", "peer", "name", "right")
    let control = try LinkControl()
    return (control, try #require(try control.link(named: "left")))
  }

  @Test func looksUpALink() throws {
    try NamespaceRig.run {
      let (control, link) = try pair()
      #expect(link.kind == "veth" && link.name == "left" && link.mtu == 1500)
      #expect(!link.isUp && !link.hasCarrier && !link.isPromiscuous && link.master == nil && link.alias == "")
      #expect(link.address?.isUsable == true)
      #expect(try control.link(index: link.index) == link)
      #expect(try control.link(named: "middle") == nil)
      #expect(try control.link(index: 4711) == nil)
      let shown = try NamespaceRig.run("ip", "link", "show", "left")
      #expect(shown.contains(try #require(link.address).description))
      #expect(shown.hasPrefix("\(link.index): "))
    }
  }

  @Test func changesEachThing() throws {
    try NamespaceRig.run {
      let (control, link) = try pair()
      let address = try #require(HardwareAddress("52:54:00:12:34:56"))
      try control.change(
        index: link.index,
        LinkChange(
          name: "nic", address: address, mtu: 9000, isUp: true, isPromiscuous: true, takesAllMulticast: true,
          alias: "0000:03:00.0"))
      let shown = try NamespaceRig.run("ip", "-d", "link", "show", "nic")
      for word in [
        "52:54:00:12:34:56", "mtu 9000", "UP", "PROMISC", "ALLMULTI", "alias 0000:03:00.0", "promiscuity 1",
      ] {
        #expect(shown.contains(word), "\(word) in: \(shown)")
      }
      let changed = try #require(try control.link(index: link.index))
      #expect(changed.isUp && changed.promiscuity == 1 && changed.allMulticast == 1 && changed.address == address)
      try control.change(
        index: link.index, LinkChange(mtu: 1500, isUp: false, isPromiscuous: false, takesAllMulticast: false, alias: "")
      )
      let back = try #require(try control.link(named: "nic"))
      #expect(!back.isUp && back.promiscuity == 0 && back.allMulticast == 0 && back.alias == "" && back.mtu == 1500)
    }
  }

  @Test func leavesOtherFlagsAlone() throws {
    try NamespaceRig.run {
      let (control, link) = try pair()
      try NamespaceRig.run("ip", "link", "set", "left", "promisc", "on", "arp", "off")
      try control.change(index: link.index, LinkChange(isUp: true))
      let changed = try #require(try control.link(index: link.index))
      #expect(changed.flags.isSuperset(of: [.up, .promiscuous, .noARP]))
      try control.change(index: link.index, LinkChange(mtu: 1400))
      #expect(try #require(try control.link(index: link.index)).flags == changed.flags)
    }
  }

  @Test func joinsAndLeavesABridge() throws {
    try NamespaceRig.run {
      let (control, link) = try pair()
      let bridge = try control.create(.bridge, named: "br0")
      #expect(bridge.kind == "bridge")
      try control.change(index: link.index, LinkChange(master: .link(bridge.index)))
      #expect(try #require(try control.link(index: link.index)).master == bridge.index)
      #expect(try NamespaceRig.run("bridge", "link", "show").contains("left"))
      try control.change(index: link.index, LinkChange(master: LinkChange.Master.none))
      #expect(try #require(try control.link(index: link.index)).master == nil)
      try control.delete(index: bridge.index)
      #expect(try control.link(named: "br0") == nil)
    }
  }

  @Test func movesToAnotherNamespace() throws {
    try NamespaceRig.run {
      let (control, link) = try pair()
      let there = try NetworkNamespace.make()
      try control.change(index: link.index, LinkChange(name: "moved", isUp: true, namespace: there))
      #expect(try control.link(named: "left") == nil && control.link(named: "moved") == nil)
      let moved = try #require(try LinkControl(namespace: there).link(named: "moved"))
      #expect(moved.isUp && moved.address == link.address)
    }
  }

  @Test func counts64Bits() throws {
    try NamespaceRig.run {
      let (control, link) = try pair()
      try NamespaceRig.run("ip", "link", "set", "left", "up")
      try NamespaceRig.run("ip", "link", "set", "right", "up")
      // IPv6 says hello on both sides; with a bridge's worth of multicast that cannot be nothing.
      try NamespaceRig.run("ip", "address", "add", "192.0.2.1/24", "dev", "left")
      try NamespaceRig.run("ip", "neigh", "add", "192.0.2.2", "lladdr", "52:54:00:00:00:02", "dev", "left")
      let before = try #require(try control.link(index: link.index)).statistics
      try Datagram.send(bytes: 100, to: 0xC000_0202)
      let after = try #require(try control.link(index: link.index)).statistics
      #expect(after.sentPackets >= before.sentPackets + 1)
      // 14 of Ethernet, 20 of IP, 8 of UDP.
      #expect(after.sentBytes >= before.sentBytes + 142)
      #expect(after.sendErrors == 0)
    }
  }

  @Test func saysWhatIsWrong() throws {
    try NamespaceRig.run {
      let (control, link) = try pair()
      func failure(_ change: LinkChange, index: Int32? = nil) throws -> Failure {
        try #require(throws: Failure.self) { try control.change(index: index ?? link.index, change) }
      }
      let tooLong = try failure(LinkChange(mtu: 70000))
      #expect(tooLong.code == "link-change" && tooLong.errno == EINVAL)
      // The kernel's own words.
      #expect(tooLong.step.contains("mtu greater than device maximum"))
      #expect(try failure(LinkChange(address: HardwareAddress("01:00:00:00:00:01"))).errno == EADDRNOTAVAIL)
      #expect(try failure(LinkChange(name: "right")).errno == EEXIST)
      #expect(try failure(LinkChange(name: "a/b")).errno == EINVAL)
      #expect(try failure(LinkChange(master: .link(4711))).errno == EINVAL)
      let gone = try failure(LinkChange(mtu: 1400), index: 4711)
      #expect(gone.errno == ENODEV && !gone.hint.isEmpty)
      let taken = try #require(throws: Failure.self) { try control.create(.bridge, named: "right") }
      #expect(taken.code == "link-create" && taken.errno == EEXIST && !taken.hint.isEmpty)
      #expect(try #require(throws: Failure.self) { try control.delete(index: 4711) }.errno == ENODEV)
    }
  }

  @Test func namespacesComeAndGo() throws {
    let before = try NamespaceRig.run("readlink", "/proc/self/ns/net")
    var inside = ""
    try NamespaceRig.run { inside = try NamespaceRig.run("readlink", "/proc/self/ns/net") }
    #expect(inside != before)
    #expect(try NamespaceRig.run("readlink", "/proc/self/ns/net") == before)
    for name in ["", ".", "..", "a/b", "nobody-made-this"] {
      let failure = try #require(throws: Failure.self) { try NetworkNamespace(named: name) }
      #expect(failure.code == "network-namespace")
    }
    // A file that is no namespace.
    let other = try NetworkNamespace(path: "/dev/null")
    #expect(try #require(throws: Failure.self) { try other.perform { () throws(Failure) in } }.errno == EINVAL)
  }
}
