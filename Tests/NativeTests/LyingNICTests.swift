import Glibc
import Platform
import Testing

/// A NIC that breaks its promises: the machine goes on, what it did is named where it went too far, and traffic comes back
/// when it keeps them again.
@Suite(.serialized, .enabled(if: NetworkRig.isPossible, "needs root and TAPs")) struct LyingNICTests {
  private func rig(_ misbehaviour: String, policy: String = NetworkRig.patient) throws -> NetworkRig {
    try NetworkRig(",misbehave=\(misbehaviour)", policy: policy, knowsNeighbours: true)
  }

  private func violations(_ rig: NetworkRig) throws -> String {
    try rig.native.control("status", "nic", "--json").output
  }

  /// What a driver has to put up with: it stays the same one.
  @Test(arguments: [
    [
      "bad-length:at=0:count=3", "bad-length:at=2049:after=5:count=3", "bad-length:at=65535:after=10:count=3",
    ],
    ["no-end:count=3", "no-data:after=5:count=3", "false-checksum:after=10:count=3"],
    ["duplicate:count=10", "bad-head:at=0xFFFF:count=10"],
    ["run-ahead:by=40:count=1:on=receive"], ["run-ahead:by=5:count=3:on=transmit"],
    ["spurious-interrupt:count=10", "repeated-interrupt:by=1ms:count=10"], ["lost-interrupt:count=2:on=transmit"],
    ["link-flap:for=30ms"], ["stall:for=100ms:on=receive"], ["stall:for=100ms:on=transmit"],
  ])
  func theDriverStays(misbehaviours: [String]) throws {
    let rig = try rig(misbehaviours.joined(separator: ",misbehave="))
    // It meets the lies; and some frames are not seen before enough of them have come.
    for _ in 0..<60 { _ = try rig.echoes(outward: false, within: 3_000_000) }
    try rig.eventuallyEchoes()
    try rig.transfer(1 << 20, outward: true)
    try rig.transfer(1 << 20, outward: false)
    let status = try #require(try rig.native.status())
    #expect(status.state == "running" && status.generation == 1)
    #expect(rig.native.stop() == 0)
  }

  @Test func aTransmitHangEndsWithAResetOfTheController() throws {
    // The first frame is the last one.
    let rig = try rig("stall:on=transmit")
    for _ in 0..<3 { _ = try rig.echoes(outward: true, within: 20_000_000) }
    try rig.eventuallyEchoes()
    #expect(rig.native.log.contains("transmit hang"))
    #expect(try rig.native.status()?.generation == 1)
    #expect(rig.native.stop() == 0)
  }

  @Test func dmaOutsideTheArenaIsStoppedAndNamed() throws {
    let rig = try rig(
      "stray-write:count=1", policy: NetworkRig.patient + "\nviolations = { dma-fault = \"restart\" }")
    try rig.native.eventually("a violation") {
      _ = try rig.echoes(outward: false, within: 50_000_000)
      return try violations(rig).contains("dma-fault")
    }
    try rig.native.eventually("another driver") { try rig.native.status().map { $0.generation > 1 } ?? false }
    try rig.eventuallyEchoes()
    #expect(rig.native.stop() == 0)
  }

  @Test(arguments: ["vanish:for=100ms:on=receive", "never-ready:count=1"])
  func theDriverIsReplaced(misbehaviour: String) throws {
    let rig = try rig(misbehaviour)
    try rig.native.eventually("another driver") {
      _ = try rig.echoes(outward: false, within: 50_000_000)
      return try rig.native.status().map { $0.generation > 1 } ?? false
    }
    try rig.eventuallyEchoes()
    #expect(rig.native.stop() == 0)
  }

  @Test func aStormOfInterruptsIsNamed() throws {
    let rig = try rig(
      "storm:for=30s:on=receive",
      policy: NetworkRig.patient + "\n" + """
        limits = { interrupt-rate = 5000 }
        violations = { tolerate = 0, then = "restart" }
        """)
    try rig.native.eventually("a violation") {
      _ = try rig.echoes(outward: false, within: 50_000_000)
      return try violations(rig).contains("interrupt-storm")
    }
    try rig.eventuallyEchoes()
    #expect(rig.native.stop() == 0)
  }
}
