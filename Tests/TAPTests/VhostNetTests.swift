import Glibc
import Platform
import Testing
import Virtqueue

@testable import TAP

@Suite struct VhostNetTests {
  @Test func setsUpBothRingsThenConnectsThem() throws {
    let rig = try PlanRig()
    let kernel = FakeVhost()
    let vhost = try VhostNet(kernel)
    let plan = try rig.plan(busyPoll: 50)
    try vhost.start(plan)
    #expect(vhost.isRunning)
    // Offloads are the TAP's business.
    #expect(kernel.features == [.version1, .eventIndex])
    #expect(kernel.memory.regions.map(\.iova) == [0x1000_0000] && kernel.memory.regions.map(\.size) == [1 << 20])
    for (ring, planned, error) in [
      (0, plan.receive, vhost.errors.receive.number), (1, plan.transmit, vhost.errors.transmit.number),
    ] {
      let state = kernel.rings[ring]
      #expect(state.size == 256 && state.base == 0 && state.backend == 99 && state.busyPoll == 50)
      #expect(state.kick == planned.kick && state.call == planned.call && state.error == error)
      #expect(state.address?.descriptors == UnsafeRawPointer(planned.base))
      #expect(state.address?.avail == UnsafeRawPointer(planned.base + 4096))
      #expect(state.address?.used == UnsafeRawPointer(planned.base + planned.layout.usedOffset))
    }
    #expect(
      kernel.calls.suffix(2) == [.setBackend(ring: 0, 99), .setBackend(ring: 1, 99)],
      "a backend before all is set would move frames through half a ring")
  }

  @Test func looksAgainForKicksThatCameTooEarly() throws {
    let rig = try PlanRig()
    let vhost = try VhostNet(FakeVhost())
    try vhost.start(rig.plan())
    #expect(EventDescriptor.drain(rig.kick.receive.number) == 1)
    #expect(EventDescriptor.drain(rig.kick.transmit.number) == 1)
    #expect(EventDescriptor.drain(rig.call.receive.number) == 0)
  }

  @Test func stopsInTheReverseOrder() throws {
    let rig = try PlanRig()
    let kernel = FakeVhost()
    let vhost = try VhostNet(kernel)
    try vhost.start(rig.plan())
    let before = kernel.calls.count
    kernel.moved = 7
    #expect(try vhost.stop() == VhostNet.Positions(receive: 7, transmit: 7))
    let stopping = Array(kernel.calls[before...])
    #expect(
      stopping.prefix(4) == [
        .setBackend(ring: 1, nil), .setBackend(ring: 0, nil), .getRingBase(ring: 0), .getRingBase(ring: 1),
      ])
    #expect(stopping.last == .setMemory(.none))
    #expect(kernel.isQuiet && !kernel.isClosed && !vhost.isRunning)
    #expect(try vhost.stop() == nil)
  }

  @Test func oneDriverAfterAnother() throws {
    let kernel = FakeVhost()
    let vhost = try VhostNet(kernel)
    for _ in 0..<3 {
      let rig = try PlanRig()
      try vhost.start(rig.plan())
      #expect(kernel.memory.regions[0].base == rig.arena.mapping.base)
      try vhost.stop()
    }
    #expect(kernel.calls.count { $0 == .setOwner } == 1)
  }

  /// Whatever step fails, nothing of the driver's stays with the kernel, and the next start works.
  @Test func everyStepThatFailsIsUndone() throws {
    let rig = try PlanRig()
    let whole = FakeVhost()
    try VhostNet(whole).start(rig.plan(busyPoll: 50))
    for failing in 1..<whole.calls.count {
      let kernel = FakeVhost()
      let vhost = try VhostNet(kernel)
      kernel.failingCall = failing
      let failure = try #require(throws: Failure.self) { try vhost.start(rig.plan(busyPoll: 50)) }
      #expect(failure.code == whole.calls[failing].step.code && failure.errno == ENOMEM)
      #expect(kernel.isQuiet && !kernel.isClosed && !vhost.isRunning, "after step \(failing)")
      kernel.failingCall = nil
      try vhost.start(rig.plan())
      #expect(kernel.rings.allSatisfy { $0.backend == 99 })
    }
    #expect(whole.calls.count == 19)
  }

  @Test func whatCannotBeTakenBackIsClosed() throws {
    let rig = try PlanRig()
    let kernel = FakeVhost()
    let vhost = try VhostNet(kernel)
    try vhost.start(rig.plan())
    kernel.undoFails = true
    #expect(try #require(throws: Failure.self) { try vhost.stop() }.code == "vhost-memory")
    #expect(kernel.isClosed)
    #expect(try #require(throws: Failure.self) { try vhost.start(rig.plan()) }.code == "vhost-state")

    let other = FakeVhost()
    let second = try VhostNet(other)
    other.undoFails = true
    other.failingCall = 5
    #expect(throws: Failure.self) { try second.start(rig.plan()) }
    #expect(other.isClosed)
  }

  @Test func goesWithItsOwner() throws {
    let rig = try PlanRig()
    let kernel = FakeVhost()
    do {
      let vhost = try VhostNet(kernel)
      try vhost.start(rig.plan())
      #expect(try #require(throws: Failure.self) { try vhost.start(rig.plan()) }.code == "vhost-state")
    }
    #expect(kernel.isClosed)
  }

  @Test func aFileThatHasAnOwner() throws {
    let kernel = FakeVhost()
    let first = try VhostNet(kernel)
    let failure = try #require(throws: Failure.self) { try VhostNet(kernel) }
    #expect(failure.code == "vhost-owner" && failure.errno == EBUSY && !failure.hint.isEmpty)
    _ = first
  }

  @Test func featuresThatAreMissing() throws {
    let old = FakeVhost()
    old.offered = [.mergeableBuffers, .eventIndex]
    #expect(try #require(throws: Failure.self) { try VhostNet(old) }.code == "vhost-features")
    #expect(old.calls.isEmpty)
    let rig = try PlanRig()
    let plain = FakeVhost()
    plain.offered = [.eventIndex, .version1]
    let vhost = try VhostNet(plain)
    var plan = try rig.plan()
    plan.features.insert(.mergeableBuffers)
    #expect(try #require(throws: Failure.self) { try vhost.start(plan) }.code == "vhost-features")
    plan.features = [.eventIndex]
    #expect(try #require(throws: Failure.self) { try vhost.start(plan) }.code == "vhost-features")
    #expect(plain.calls == [.setOwner])
  }

  @Test func ringsThatCannotBe() throws {
    let rig = try PlanRig()
    let kernel = FakeVhost()
    let vhost = try VhostNet(kernel)
    let changes: [(inout VhostPlan) -> Void] = [
      // Where the device and frames can write.
      { $0.receive.base = rig.arena.mapping.base }, { $0.transmit.base = rig.arena.mapping.base + 0x8000 },
      { $0.transmit.base = $0.receive.base }, { $0.transmit.base = $0.receive.base + 16 },
      { $0.receive.base += 8 },
    ]
    for change in changes {
      var plan = try rig.plan()
      change(&plan)
      #expect(try #require(throws: Failure.self) { try vhost.start(plan) }.code == "vhost-ring")
    }
    var plan = try rig.plan()
    plan.memory = .none
    #expect(try #require(throws: Failure.self) { try vhost.start(plan) }.code == "vhost-memory")
    #expect(kernel.calls == [.setOwner])
  }

  @Test func countsRefusedDescriptors() throws {
    let vhost = try VhostNet(FakeVhost())
    EventDescriptor.signal(vhost.errors.transmit.number)
    EventDescriptor.signal(vhost.errors.transmit.number)
    let counted = vhost.takeErrors()
    #expect(counted.receive == 0 && counted.transmit == 2)
    #expect(vhost.takeErrors().transmit == 0)
  }
}
