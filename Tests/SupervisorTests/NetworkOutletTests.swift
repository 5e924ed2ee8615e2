import CBulkhead
import Glibc
import NamespaceRig
import Netlink
import Platform
import Protocol
import Testing

@testable import Control
@testable import Supervisor

/// The interface of the real kernel, in a namespace of the test's own, between an administrator's tools and a broker.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct NetworkOutletTests {
  @Test func itComesAndGoesWithTheDevice() throws {
    try NamespaceRig.run {
      let world = try NetworkWorld()
      try world.prepare()
      let link = try #require(try world.link())
      #expect(!link.isUp && !link.hasCarrier && link.alias == "bulkhead ffff:00:00.0")
      #expect(world.host.state.load(world.session.address)?.interface?.index == link.index)
      #expect(try NamespaceRig.run("ip", "-d", "link", "show", "bh-nic").contains("persist on"))
      // As a start after a failure does.
      try world.prepare()
      #expect(try world.link()?.index == link.index)
      #expect(world.session.release(isGone: false) == nil)
      #expect(try world.link() == nil)
      #expect(world.host.state.load(world.session.address) == nil)
    }
  }

  @Test func aNameThatIsTakenIsRefused() throws {
    try NamespaceRig.run {
      try ip("link", "add", "bh-nic", "type", "bridge")
      let world = try NetworkWorld()
      guard case .refused(let refusals) = world.session.prepare() else { return #expect(Bool(false), "not refused") }
      #expect(refusals.map(\.code) == ["interface-taken"])
      #expect(
        refusals[0].message.contains("of kind bridge called bh-nic") && refusals[0].hint.contains("outlet.interface"))
      #expect(try world.link()?.kind == "bridge")
    }
  }

  @Test func aBrokerIsToldWhatItServes() throws {
    try NamespaceRig.run {
      let world = try NetworkWorld {
        $0.outlet.interface.busyPoll = 70_000
        $0.limits.queues = 2
      }
      try world.prepare()
      try world.startBroker()
      let configuration = try #require(world.configuration)
      #expect(configuration.queues == 4 && configuration.payloadSize == 0 && !configuration.hasListener)
      #expect(!configuration.mapsPayload && configuration.kernelConnections == 0)
      #expect(
        configuration.network
          == NetworkOutletConfiguration(queuePairs: 2, usesVhost: false, busyPollMicroseconds: 70))
      let files = try world.outlet.brokerFiles
      #expect(files.count == configuration.fileCount)
      for file in files { #expect(fcntl(file, F_GETFD) & FD_CLOEXEC != 0) }
      _ = world.session.release(isGone: false)
    }
  }

  @Test(.enabled(if: access("/dev/vhost-net", F_OK) != 0, "there is vhost-net"))
  func withoutVhostTheBrokerMovesFrames() throws {
    try NamespaceRig.run {
      let world = try NetworkWorld { $0.outlet.interface.datapath = .auto }
      try world.prepare()
      try world.startBroker()
      #expect(world.configuration?.network?.usesVhost == false)
      #expect(try world.outlet.datapath == .broker)
      _ = world.session.release(isGone: false)
      let demanding = try NetworkWorld { $0.outlet.interface.datapath = .vhost }
      guard case .failed(let failure) = demanding.session.prepare() else { return #expect(Bool(false), "not failed") }
      #expect(failure.code == "vhost-open" && failure.hint.contains("outlet.datapath"))
      #expect(try world.link() == nil)
    }
  }

  @Test func theFirstDriverGivesTheAddress() throws {
    try NetworkWorld.served { world in
      try world.turn()
      // Nobody knows the address yet.
      #expect(world.settings.isEmpty)
      try world.say(.networkPort(NetworkWorld.port))
      try world.wait { $0.settings.last?.address == NetworkWorld.address }
      #expect(try world.link()?.address == NetworkWorld.address)
      #expect(world.host.state.load(world.session.address)?.hardwareAddress == "52:54:00:00:00:01")
      // What the administrator changes stays, also when the next driver comes.
      try ip("link", "set", "bh-nic", "address", "52:54:00:00:00:99")
      let other = HardwareAddress("52:54:00:00:00:99")
      try world.wait { $0.settings.last?.address == other }
      try world.say(.networkPort(NetworkWorld.port))
      try world.turn()
      #expect(try world.link()?.address == other && world.settings.last?.address == other)
    }
  }

  @Test func aConfiguredAddressHoldsFromTheStart() throws {
    try NamespaceRig.run {
      let mine = HardwareAddress(0x52, 0x54, 0, 0, 0, 7)
      let world = try NetworkWorld { $0.outlet.interface.address = mine }
      try world.prepare()
      #expect(try world.link()?.address == mine)
      try world.startBroker()
      try world.wait { $0.settings.last?.address == mine }
      try world.say(.networkPort(NetworkWorld.port))
      #expect(try world.link()?.address == mine)
      _ = world.session.release(isGone: false)
    }
  }

  @Test func whatTheAdministratorSetsReachesTheBroker() throws {
    try NetworkWorld.served { world in
      try world.say(.networkPort(NetworkWorld.port))
      try world.wait { $0.settings.last?.isEnabled == false }
      try ip("link", "set", "bh-nic", "up")
      try world.wait { $0.settings.last?.isEnabled == true }
      try ip("link", "set", "bh-nic", "mtu", "3000")
      try world.wait { $0.settings.last?.mtu == 3000 }
      try ip("link", "set", "bh-nic", "promisc", "on")
      try world.wait { $0.settings.last?.isPromiscuous == true }
      try ip("link", "set", "bh-nic", "allmulticast", "on")
      try world.wait { $0.settings.last?.receivesAllMulticast == true }
      try ip("maddress", "add", "01:00:5e:01:02:03", "dev", "bh-nic")
      let group = try #require(HardwareAddress("01:00:5e:01:02:03"))
      try world.wait { $0.settings.last?.multicast.contains(group) == true }
      try ip("link", "set", "bh-nic", "down")
      try world.wait { $0.settings.last?.isEnabled == false }
      // Each says something new: nothing is said twice.
      #expect(zip(world.settings, world.settings.dropFirst()).allSatisfy { $0 != $1 })
      // Another broker is told everything, before it has a driver.
      world.session.broker?.process.kill()
      try world.wait { $0.session.broker == nil }
      let count = world.settings.count
      try world.startBroker()
      try world.wait { $0.settings.count > count }
      #expect(world.settings.last == world.settings[count - 1])
    }
  }

  @Test func tooManyGroupsBecomeAll() throws {
    try NetworkWorld.prepared { world in
      try ip("link", "set", "bh-nic", "up")
      for index in 0...NetworkSettings.multicastLimit {
        try ip("maddress", "add", "01:00:5e:00:01:\(index < 16 ? "0" : "")\(String(index, radix: 16))", "dev", "bh-nic")
      }
      try world.startBroker()
      try world.say(.networkPort(NetworkWorld.port))
      try world.wait { $0.settings.last?.receivesAllMulticast == true }
      #expect(world.settings.last?.multicast == [])
    }
  }

  @Test func anMTUThatTheNICHasNotIsSetBack() throws {
    try NetworkWorld.prepared { world in
      try ip("link", "set", "bh-nic", "mtu", "65000")
      // Until the port is known it is what any port may have.
      try world.wait { try $0.link()?.mtu == 9000 }
      try world.startBroker()
      try world.say(.networkPort(NetworkWorld.port))
      try world.wait { try $0.link()?.mtu == 4000 && $0.settings.last?.mtu == 4000 }
      #expect(world.settings.allSatisfy { $0.mtu <= 4000 })
      #expect(world.events.contains { $0.kind == "interface" && $0.text.contains("an MTU of 4000 at most") })
    }
  }

  /// As in clouds, whose virtio-net devices say 1460.
  @Test func aPortMayHaveASmallerMTUThanEthernet() throws {
    try NetworkWorld.prepared { world in
      #expect(try world.link()?.mtu == 1500)
      try world.startBroker()
      var port = NetworkWorld.port
      port.maximumMTU = 1460
      try world.say(.networkPort(port))
      try world.wait { try $0.link()?.mtu == 1460 && $0.settings.last?.mtu == 1460 }
      #expect(world.settings.allSatisfy { $0.mtu <= 1460 })
    }
  }

  @Test func aDriverThatRefusesIsShown() throws {
    try NetworkWorld.served { world in
      try world.say(.networkPort(NetworkWorld.port))
      try world.say(.networkLink(NetworkLink(isUp: true, speed: 1000, isFullDuplex: true)))
      try world.wait { !$0.sequences.isEmpty }
      try world.say(.networkApplied(sequence: #require(world.sequences.last), errno: 0))
      var shown = try #require(Device(world.session).outlet?.port)
      #expect(shown.model == "a NIC" && shown.up && shown.speed == 1000 && shown.settings?.mtu == 1500)
      #expect(shown.settingsError == nil && shown.counters.isEmpty)
      try world.say(.networkApplied(sequence: #require(world.sequences.last), errno: UInt16(EINVAL)))
      var statistics = NetworkStatistics()
      statistics[.receivedFrames] = 7
      try world.say(.networkStatistics(statistics))
      shown = try #require(Device(world.session).outlet?.port)
      #expect(shown.settingsError == "EINVAL" && shown.counters["received-frames"] == 7)
      #expect(world.events.contains { $0.kind == "failure" && $0.text.contains("port-settings") })
      #expect(world.events.contains { $0.kind == "link" && $0.text == "link up, 1000 Mbit/s, full duplex" })
      let interface = try #require(Device(world.session).outlet?.interface)
      #expect(interface.name == "bh-nic" && interface.datapath == "broker" && interface.mtu == 1500)
    }
  }

  @Test func theNextSupervisorFindsItAgain() throws {
    try NamespaceRig.run {
      let killed = try NetworkWorld()
      try killed.prepare()
      try killed.startBroker()
      try killed.say(.networkPort(NetworkWorld.port))
      try ip("link", "set", "bh-nic", "up")
      try ip("address", "add", "192.0.2.1/24", "dev", "bh-nic")
      let index = try #require(try killed.link()).index
      try killed.die()
      let next = try NetworkWorld(after: killed)
      #expect(next.session.isLeftTaken)
      try next.prepare()
      let link = try #require(try next.link())
      #expect(link.index == index && link.isUp && !link.hasCarrier && link.address == NetworkWorld.address)
      #expect(try NamespaceRig.run("ip", "address", "show", "bh-nic").contains("192.0.2.1/24"))
      // The address is remembered: no driver need say it first.
      try next.startBroker()
      try next.wait { $0.settings.last?.isEnabled == true && $0.settings.last?.address == NetworkWorld.address }
      _ = next.session.release(isGone: false)
      #expect(try next.link() == nil)
    }
  }

  @Test func aRecordOfAnInterfaceThatIsGoneMakesANewOne() throws {
    try NamespaceRig.run {
      let killed = try NetworkWorld()
      try killed.prepare()
      try killed.startBroker()
      try killed.say(.networkPort(NetworkWorld.port))
      let index = try #require(try killed.link()).index
      try killed.die()
      try ip("link", "delete", "bh-nic")
      let next = try NetworkWorld(after: killed)
      try next.prepare()
      let link = try #require(try next.link())
      #expect(link.index != index && link.address == NetworkWorld.address)
      _ = next.session.release(isGone: false)
    }
  }

  @Test func anotherNameInTheConfigurationMakesANewOne() throws {
    try NamespaceRig.run {
      let killed = try NetworkWorld()
      try killed.prepare()
      try killed.die()
      let next = try NetworkWorld(after: killed) { $0.outlet.interface.name = "lan0" }
      try next.prepare()
      #expect(try next.link() == nil && next.link("lan0") != nil)
      _ = next.session.release(isGone: false)
    }
  }

  @Test func aDeletedInterfaceEndsTheBroker() throws {
    try NetworkWorld.served { world in
      try world.say(.networkPort(NetworkWorld.port))
      let index = try #require(try world.link()).index
      try ip("link", "delete", "bh-nic")
      try world.wait { $0.session.broker == nil }
      #expect(world.events.contains { $0.text.contains("interface-removed") })
      #expect(world.session.brokerSentence == "the interface bh-nic was deleted")
      // The next one has a new interface, with the NIC's address.
      try world.startBroker()
      let link = try #require(try world.link())
      #expect(link.index != index && link.address == NetworkWorld.address)
    }
  }

  @Test func itIsFollowedWhereverItGoes() throws {
    try NamespaceRig.run {
      let world = try NetworkWorld()
      try world.prepare()
      try world.startBroker()
      try world.say(.networkPort(NetworkWorld.port))
      let there = try NetworkNamespace.make()
      let index = try #require(try world.link()).index
      try LinkControl().change(index: index, LinkChange(name: "inside", namespace: there))
      try world.wait { try $0.link() == nil && $0.outlet.monitor?.link.name == "inside" }
      #expect(world.session.broker != nil)
      try LinkControl(namespace: there).change(
        index: #require(try world.outlet.interface).index, LinkChange(isUp: true))
      try world.wait { $0.settings.last?.isEnabled == true }
      _ = world.session.release(isGone: false)
      #expect(try LinkControl(namespace: there).link(named: "inside") == nil)
    }
  }
}
