import NamespaceRig
import Netlink
import Platform
import Protocol
import Testing

@testable import Control
@testable import Supervisor

/// Between an administrator who changes the interface, a kernel that does not tell everything, and drivers that claim this
/// and that.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct NetworkFollowingTests {
  /// Not what a driver claims: neither the first one nor one that comes later.
  @Test func theAddressOfTheKernelsDriverHolds() throws {
    try NamespaceRig.run {
      let former = HardwareAddress(0x52, 0x54, 0, 0, 0, 0x33)
      let world = try NetworkWorld()
      try world.prepare()
      try world.outlet.formerAddress = former
      // The emulated device has had no driver of the kernel's; its second interface is made with that one's address.
      try ip("link", "delete", "bh-nic")
      try world.wait { try $0.outlet.interface == nil }
      try world.startBroker()
      #expect(try world.link()?.address == former)
      #expect(world.host.state.load(world.session.address)?.hardwareAddress == "\(former)")
      // As udev may.
      try ip("link", "set", "bh-nic", "address", "52:54:00:00:00:99")
      try world.say(.networkPort(NetworkWorld.port))
      try world.wait { $0.settings.last?.address == former }
      #expect(try world.link()?.address == former)
      #expect(world.host.state.load(world.session.address)?.hardwareAddress == "\(former)")
      _ = world.session.release(isGone: false)
    }
  }

  @Test func whatLaterDriversClaimIsNotRemembered() throws {
    try NetworkWorld.served { world in
      try world.say(.networkPort(NetworkWorld.port))
      var port = NetworkWorld.port
      port.address = HardwareAddress(0x52, 0x54, 0, 0, 0, 0x66)
      try world.say(.networkPort(port))
      #expect(world.host.state.load(world.session.address)?.hardwareAddress == "\(NetworkWorld.address)")
      #expect(try world.link()?.address == NetworkWorld.address)
      // The interface that comes after it has the address as well.
      try ip("link", "delete", "bh-nic")
      try world.wait { $0.session.broker == nil }
      try world.startBroker()
      #expect(try world.link()?.address == NetworkWorld.address)
    }
  }

  private func port(mtu: UInt16) -> BrokerEvent {
    var port = NetworkWorld.port
    port.maximumMTU = mtu
    return .networkPort(port)
  }

  /// One driver's word is not for ever, also when the supervisor has been killed meanwhile.
  @Test func theMTUComesBackWithADriverThatTakesIt() throws {
    try NamespaceRig.run {
      let killed = try NetworkWorld()
      try killed.prepare()
      try killed.startBroker()
      try killed.say(port(mtu: 9000))
      try ip("link", "set", "bh-nic", "mtu", "8000")
      try killed.wait { $0.settings.last?.mtu == 8000 }
      try killed.say(port(mtu: 3000))
      try killed.wait { try $0.link()?.mtu == 3000 && $0.settings.last?.mtu == 3000 }
      try killed.say(port(mtu: 1500))
      try killed.wait { try $0.link()?.mtu == 1500 && $0.settings.last?.mtu == 1500 }
      try killed.say(port(mtu: 4000))
      try killed.wait { try $0.link()?.mtu == 4000 && $0.settings.last?.mtu == 4000 }
      try killed.die()
      let next = try NetworkWorld(after: killed)
      try next.prepare()
      try next.startBroker()
      #expect(try next.link()?.mtu == 4000, "without a driver nothing is known")
      try next.say(port(mtu: 9000))
      try next.wait { try $0.link()?.mtu == 8000 && $0.settings.last?.mtu == 8000 }
      #expect(next.host.state.load(next.session.address)?.interface?.limitedMTU == nil)
      _ = next.session.release(isGone: false)
    }
  }

  @Test func anMTUThatSomebodyHasChosenSinceStays() throws {
    try NetworkWorld.served { world in
      try ip("link", "set", "bh-nic", "mtu", "8000")
      try world.say(port(mtu: 1500))
      try world.wait { $0.settings.last?.mtu == 1500 }
      try ip("link", "set", "bh-nic", "mtu", "1400")
      try world.wait { $0.settings.last?.mtu == 1400 }
      try world.say(port(mtu: 9000))
      try world.turn()
      #expect(try world.link()?.mtu == 1400)
      // Nor does one come back that was too much even then.
      try ip("link", "set", "bh-nic", "mtu", "65000")
      try world.wait { try $0.link()?.mtu == 9000 }
      try world.say(port(mtu: 4000))
      try world.say(port(mtu: 9000))
      try world.wait { try $0.link()?.mtu == 9000 }
    }
  }

  @Test func anAnswerBelongsToTheSettingsThatItAnswers() throws {
    try NetworkWorld.served { world in
      try world.say(.networkPort(NetworkWorld.port))
      try world.wait { $0.settings.last?.isEnabled == false }
      try ip("link", "set", "bh-nic", "mtu", "2000")
      try world.wait { $0.settings.last?.mtu == 2000 }
      let first = try #require(world.sequences.last)
      try ip("link", "set", "bh-nic", "mtu", "3000")
      try world.wait { $0.settings.last?.mtu == 3000 }
      let second = try #require(world.sequences.last)
      #expect(second > first && first > 0)
      try world.say(.networkApplied(sequence: 0, errno: 0))
      #expect(try world.outlet.applied == nil, "the driver's rest is nobody's settings")
      try world.say(.networkApplied(sequence: first, errno: 0))
      #expect(try world.outlet.applied?.mtu == 2000, "the later ones are still under way")
      try world.say(.networkApplied(sequence: second, errno: 0))
      #expect(try world.outlet.applied?.mtu == 3000)
      // The next driver of the same broker is told them again, and answers them again.
      try world.outlet.driverEnded()
      #expect(try world.outlet.applied == nil)
      try world.say(.networkApplied(sequence: second, errno: 0))
      #expect(try world.outlet.applied?.mtu == 3000)
    }
  }

  @Test func promiscuityThatTheKernelDoesNotTellOfReachesTheBroker() throws {
    try NetworkWorld.prepared { world in
      try ip("link", "set", "bh-nic", "up")
      try world.startBroker()
      try world.say(.networkPort(NetworkWorld.port))
      try world.wait { $0.settings.last?.isEnabled == true && $0.settings.last?.isPromiscuous == false }
      let index = try #require(try world.link()).index
      let member = try PacketMember(of: index, .address(HardwareAddress(2, 0, 0, 0, 0, 9)))
      try world.wait { $0.settings.last?.isPromiscuous == true }
      member.leave()
      try world.wait { $0.settings.last?.isPromiscuous == false }
    }
  }
}
