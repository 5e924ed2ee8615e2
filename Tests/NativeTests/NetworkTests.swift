import Glibc
import Platform
import Testing

/// Frames through all of it: the kernel, the TAP, the broker's worker, the virtqueues, the driver in its jail, the emulated
/// NIC, its wire, and the kernel again.
@Suite(.serialized, .enabled(if: NetworkRig.isPossible, "needs root and TAPs")) struct NetworkTests {
  @Test func echoesAndStreamsBothWays() throws {
    let rig = try NetworkRig()
    // With ARP and neighbour discovery before the first.
    for version in Echo.Version.allCases {
      for outward in [true, false] {
        try rig.native.eventually("an echo") { try rig.echoes(outward: outward, version: version) }
        #expect(try rig.echoes(outward: outward, version: version, bytes: 1400))
      }
    }
    for outward in [true, false] { try rig.transfer(16 << 20, outward: outward) }
    try rig.here("ip", "link", "set", "port0", "mtu", "9000")
    try rig.there("ip", "link", "set", "wire0", "mtu", "9000")
    try rig.native.eventually("long frames") {
      try rig.echoes(outward: true, bytes: 8900) && rig.echoes(outward: false, bytes: 8900)
    }
    for outward in [true, false] { try rig.transfer(16 << 20, outward: outward) }
    let status = try rig.native.control("status", "nic", "--json").output
    #expect(status.contains("segmented"), "the NIC has segmented, and says so")
    #expect(rig.native.stop() == 0)
    #expect(throws: Failure.self) { try rig.there("ip", "link", "show", "wire0") }
    #expect(throws: Failure.self) { try rig.here("ip", "link", "show", "port0") }
  }

  @Test func carrierFollowsTheWire() throws {
    let rig = try NetworkRig()
    try rig.native.eventually("carrier") { try rig.hasCarrier }
    for _ in 0..<2 {
      try rig.there("ip", "link", "set", "wire0", "down")
      try rig.native.eventually("no carrier") { try !rig.hasCarrier }
      try rig.there("ip", "link", "set", "wire0", "up")
      try rig.native.eventually("carrier") { try rig.hasCarrier }
    }
    try rig.eventuallyEchoes()
    #expect(rig.native.stop() == 0)
  }

  @Test(arguments: [true, false]) func aConnectionOutlivesItsDrivers(outward: Bool) throws {
    let rig = try NetworkRig()
    try rig.eventuallyEchoes()
    let before = try rig.identity()
    let total = 48 << 20
    var kills = 0
    try rig.transfer(total, outward: outward) { received in
      guard received > (kills + 1) * total / 4, kills < 3, let driver = try rig.native.status()?.driver else { return }
      kill(driver, SIGKILL)
      kills += 1
    }
    #expect(kills == 3)
    #expect(try rig.native.status().map { $0.generation > 1 } == true)
    try rig.eventuallyEchoes()
    #expect(try rig.identity() == before, "index, name, addresses and MAC")
    #expect(rig.native.stop() == 0)
  }
}
