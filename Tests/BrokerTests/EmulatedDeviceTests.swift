import CBulkhead
import Emulation
import Platform
import Protocol
import Testing
import VFIO

@testable import Broker

/// A broker's session over the emulated controller: the seam holds for a device that is not the kernel's.
@Suite struct EmulatedDeviceTests {
  final class Rig {
    let session: SessionRig
    private(set) var emulated: EmulatedNVMeBacking!

    init(_ options: String = "nvme,size=1M") throws {
      var made: EmulatedNVMeBacking?
      session = try SessionRig(other: { loop in
        made = try EmulatedNVMeBacking(EmulationOptions(parsing: options), loop: loop)
        return made
      })
      emulated = made
    }

    /// A driver comes, as far as its jail; BAR 0 is mapped from the file that it got.
    func attach() throws -> MappedMemory {
      try session.attach()
      let grant = try #require(session.grant)
      let index = try #require(grant.fileNumbers.firstIndex(of: UInt8(DriverFile.device)))
      return try MappedMemory(file: session.grantedFiles[index], length: 8192)
    }

    func driverIsGone() throws {
      try session.hangUp()
      try session.command(.driverGone)
    }

    /// Enables the controller with its admin queue at `address`, and gives it one command from there.
    func useAdminQueue(_ bar: borrowing MappedMemory, at address: UInt64) throws {
      bh_mmio_write32(bar.base + 0x24, 0x000F_000F)
      bh_mmio_write64(bar.base + 0x28, address)
      bh_mmio_write64(bar.base + 0x30, AddressMap.arena + 4096)
      bh_mmio_write32(bar.base + 0x14, 4 << 20 | 6 << 16 | 1)
      emulated.service()
      bh_mmio_write32(bar.base + 0x1000, 1)
      emulated.service()
      try session.turn()
    }

    func violations() throws -> [(Violation, String)] {
      try session.events().compactMap { event in
        guard case .violation(let violation, _, let detail) = event else { return nil }
        return (violation, detail)
      }
    }
  }

  @Test func oneDriverAfterTheOther() throws {
    let rig = try Rig()
    for _ in 0..<3 {
      let bar = try rig.attach()
      #expect(bh_mmio_read32(bar.base + 0x1C) == 0)
      #expect(bh_mmio_read32(bar.base + 0x08) == 0x0001_0400)
      try rig.useAdminQueue(bar, at: AddressMap.arena)
      #expect(bh_mmio_read32(bar.base + 0x1C) == 1)
      #expect(rig.emulated.faultCount == 0)
      try rig.driverIsGone()
      #expect(bh_mmio_read32(bar.base + 0x1C) == 0, "the next driver finds it reset")
    }
    #expect(try rig.session.events().contains(.quiesced))
  }

  @Test func theDriverGetsTheBell() throws {
    let rig = try Rig()
    _ = try rig.attach()
    let index = try #require(rig.session.grant?.fileNumbers.firstIndex(of: UInt8(DriverFile.bell)))
    try rig.session.say(.hello(name: "test", version: "1"))
    guard case .grant(let grant) = try rig.session.hear() else { return #expect(Bool(false), "no grant") }
    #expect(grant.hasBell)
    // Whoever signals it wakes the device.
    EventDescriptor.signal(rig.session.grantedFiles[index])
    try rig.session.turn()
    #expect(EventDescriptor.drain(rig.session.grantedFiles[index]) == 0)
  }

  @Test func aRealDeviceHasNoBell() throws {
    let rig = try SessionRig()
    try rig.attach()
    #expect(rig.grant?.fileNumbers.contains(UInt8(DriverFile.bell)) == false)
    try rig.say(.hello(name: "test", version: "1"))
    guard case .grant(let grant) = try rig.hear() else { return #expect(Bool(false), "no grant") }
    #expect(!grant.hasBell)
  }

  @Test func accessOutsideTheArenasIsAViolation() throws {
    let rig = try Rig()
    let bar = try rig.attach()
    _ = try rig.violations()
    try rig.useAdminQueue(bar, at: 0xDEAD_0000)
    let violations = try rig.violations()
    #expect(violations.map(\.0) == [.dmaFault])
    #expect(violations.first?.1 == "read of 64 bytes at 0xdead0000: outside, queue 0")
  }

  /// The rings are a name for descriptors; the device cannot reach them.
  @Test func theRingsAreOutOfReach() throws {
    let rig = try Rig()
    let bar = try rig.attach()
    try rig.useAdminQueue(bar, at: AddressMap.rings)
    #expect(try rig.violations().map(\.0) == [.dmaFault])
  }

  /// The device of a driver that is lost stands still; that is the broker's doing and no fault.
  @Test func whatIsCutOffIsNotAtFault() throws {
    let rig = try Rig()
    let bar = try rig.attach()
    _ = try rig.violations()
    try rig.session.hangUp()
    try rig.useAdminQueue(bar, at: AddressMap.arena)
    #expect(rig.emulated.faultCount > 0)
    #expect(try rig.violations().isEmpty)
  }

  /// The arena of a driver that is gone is out of reach for the device before its memory is freed.
  @Test func theLastArenaIsOutOfReach() throws {
    let rig = try Rig()
    _ = try rig.attach()
    try rig.driverIsGone()
    try rig.emulated.setBusMaster(true)
    try rig.emulated.setMemoryEnable(true)
    let bar = try MappedMemory(file: rig.emulated.deviceFile, length: 8192)
    try rig.useAdminQueue(bar, at: AddressMap.arena)
    #expect(rig.emulated.faults.last?.reason == .outside)
  }

  /// It cannot be reset while it is gone, and serves the next driver once it is back.
  @Test func aDeviceThatIsGoneAndComesBack() throws {
    let rig = try Rig("nvme,size=1M,misbehave=vanish:for=50ms")
    let bar = try rig.attach()
    try rig.useAdminQueue(bar, at: AddressMap.arena)
    #expect(bh_mmio_read32(bar.base + 0x1C) == .max)
    try rig.driverIsGone()
    #expect(try rig.session.events().contains(.quiesced))
    let meanwhile = try rig.attach()
    #expect(bh_mmio_read32(meanwhile.base + 0x1C) == .max)
    try rig.session.wait { !rig.emulated.isVanished }
    #expect(bh_mmio_read32(meanwhile.base + 0x1C) == .max, "it has forgotten that its memory was enabled")
    try rig.driverIsGone()
    let next = try rig.attach()
    try rig.useAdminQueue(next, at: AddressMap.arena)
    #expect(bh_mmio_read32(next.base + 0x1C) == 1)
  }

  @Test func powerComesBackWithTheNextDriver() throws {
    let rig = try Rig()
    let bar = try rig.attach()
    rig.emulated.powerLoss()
    #expect(bh_mmio_read32(bar.base + 0x1C) == .max)
    try rig.driverIsGone()
    let next = try rig.attach()
    try rig.useAdminQueue(next, at: AddressMap.arena)
    #expect(bh_mmio_read32(next.base + 0x1C) == 1)
  }

  /// Each backing says it in its own words.
  @Test(arguments: [("vfio-no-reset", true), ("emulated-no-reset", true), ("vfio-reset", false)])
  func resetIsAMeaning(_ code: String, _ isTolerated: Bool) throws {
    let backing = FakeBacking()
    backing.failures["reset"] = Failure(code, "reset it")
    if isTolerated {
      _ = try SessionRig(backing: backing)
    } else {
      #expect(throws: Failure.self) { _ = try SessionRig(backing: backing) }
    }
  }
}
