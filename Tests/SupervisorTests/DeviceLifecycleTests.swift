import PCI
import Platform
import Protocol
import Testing

@testable import Supervisor

@Suite struct DeviceLifecycleTests {
  private let machine = DeviceLifecycle.machine

  @Test func everyStateCanBeReached() {
    var reached: Set<DeviceLifecycle.State> = [machine.initial]
    var count = 0
    while reached.count != count {
      count = reached.count
      for step in machine.steps where reached.contains(step.from) { reached.insert(step.to) }
    }
    #expect(reached == Set(DeviceLifecycle.State.allCases))
  }

  @Test(arguments: DeviceLifecycle.State.allCases)
  func everyStateLeadsBackToFreedom(_ state: DeviceLifecycle.State) {
    var reached: Set<DeviceLifecycle.State> = [state]
    var count = 0
    while reached.count != count {
      count = reached.count
      for step in machine.steps where reached.contains(step.from) { reached.insert(step.to) }
    }
    #expect(reached.contains(.idle) && reached.contains(.absent))
  }

  /// Whoever waits for something has either a deadline or the end of a process to wait for.
  @Test func statesWithProcessesSurviveTheirDeath() {
    for step in machine.steps where step.event == .brokerConfigured || step.event == .driverReady {
      #expect(machine.next(step.to, .brokerLost) != nil, "\(step.to)")
      #expect(machine.next(step.to, .stop) != nil, "\(step.to)")
      #expect(machine.next(step.to, .disappeared) != nil, "\(step.to)")
    }
  }

  @Test func restingStatesAreThoseThatOnlyLeaveWhenToldOrHurt() {
    for state in DeviceLifecycle.State.allCases where state.isResting {
      for event in [DeviceLifecycle.Event.deadline, .processesGone, .released, .quiesced] {
        #expect(machine.next(state, event) == nil, "\(state) \(event)")
      }
    }
  }

  /// The whole table, step by step: what is declared is what the controller's monitor permits, and nothing else.
  @Test func illegalEventsAreReportedAndChangeNothing() {
    for event in DeviceLifecycle.Event.allCases where machine.next(.absent, event) == nil {
      let life = Life()
      life.controller.send(event)
      #expect(life.controller.state == .absent)
      #expect(life.actions.unexpectedEvents == ["\(event) in absent"])
      #expect(life.actions.calls == [])
    }
    for event in DeviceLifecycle.Event.allCases where machine.next(.running, event) == nil {
      let life = Life()
      life.run()
      life.controller.send(event)
      #expect(life.controller.state == .running)
      #expect(life.actions.unexpectedEvents == ["\(event) in running"])
      #expect(life.actions.calls == [])
    }
  }

  @Test func labelsAreForPeople() {
    #expect(DeviceLifecycle.State.backingOff.label == "backing-off")
    #expect(DeviceLifecycle.State.running.label == "running")
  }
}

@Suite struct DeviceControllerTests {
  @Test func startsInOrder() {
    let life = Life()
    life.controller.appeared()
    #expect(life.controller.state == .idle)
    #expect(life.controller.start())
    #expect(life.actions.taken() == ["prepare", "startBroker"])
    #expect(life.actions.deadline != nil)
    life.controller.brokerConfigured()
    #expect(life.actions.taken() == ["startDriver 1"])
    life.controller.driverReady()
    #expect(life.controller.state == .running)
    #expect(life.actions.deadline == nil)
    #expect(!life.controller.start())
  }

  @Test func stopsInOrder() {
    let life = Life()
    life.run()
    life.controller.stop()
    #expect(life.actions.taken() == ["closeOutlet", "askDriverToStop 1"])
    life.controller.driverEnded("it left by itself", byItself: true)
    #expect(life.actions.taken() == ["driverGone 1"])
    life.controller.quiesced()
    #expect(life.actions.taken() == ["closeOutlet", "askBrokerToStop"])
    life.controller.brokerEnded("it left by itself")
    #expect(life.actions.taken() == ["release"])
    #expect(life.controller.state == .idle)
    #expect(life.controller.restarts == 0)
    #expect(life.controller.reason == "")
  }

  /// The kernel binds and unbinds in its own time; meanwhile the operator and the device go on.
  @Test func aStopDoesNotWaitForABroker() {
    let life = Life()
    life.actions.isKernelSlow = true
    life.controller.appeared()
    #expect(life.controller.start() && life.controller.state == .preparing)
    #expect(!life.controller.start() && !life.controller.restart())
    #expect(life.controller.stop() && life.controller.state == .preparingToStop)
    life.actions.kernelFinishes()
    #expect(life.controller.state == .releasing)
    #expect(!life.controller.stop() && !life.controller.start())
    life.actions.kernelFinishes()
    #expect(life.controller.state == .idle)
    #expect(life.actions.taken() == ["prepare", "release"])
    #expect(life.actions.unexpectedEvents.isEmpty)
  }

  @Test(arguments: [
    PrepareOutcome.refused([Refusal(code: "in-use", message: "it is mounted", hint: "", overridable: true)]),
    PrepareOutcome.failed(Failure("pci-bind", "bind it")),
  ]) func aStopOfAStartThatComesToNothing(_ outcome: PrepareOutcome) {
    let life = Life()
    life.actions.isKernelSlow = true
    life.actions.prepareOutcome = outcome
    life.controller.appeared()
    life.controller.start()
    life.controller.stop()
    life.actions.kernelFinishes()
    // What may be half bound is given back.
    if case .failed = outcome { life.actions.kernelFinishes() }
    #expect(life.controller.state == .idle)
    #expect(life.actions.unexpectedEvents.isEmpty)
  }

  @Test func aDeviceThatGoesWhileTheKernelBindsItIsDiscarded() {
    let life = Life()
    life.actions.isKernelSlow = true
    life.controller.appeared()
    life.controller.start()
    life.controller.disappeared()
    #expect(life.controller.state == .preparing)
    life.actions.kernelFinishes()
    #expect(life.controller.state == .removing)
    life.controller.brokerEnded("it was killed")
    #expect(life.controller.state == .discarding)
    life.actions.kernelFinishes()
    #expect(life.controller.state == .absent)
    #expect(life.actions.taken() == ["prepare", "startBroker", "closeOutlet", "killBroker", "release gone"])
    #expect(life.actions.unexpectedEvents.isEmpty)
  }

  @Test func aDeviceThatGoesWhileItIsGivenBackIsAbsent() {
    let life = Life()
    life.run()
    life.controller.stop()
    life.controller.driverEnded("", byItself: true)
    life.controller.quiesced()
    life.actions.isKernelSlow = true
    life.controller.brokerEnded("")
    life.controller.disappeared()
    #expect(life.controller.state == .releasing)
    life.actions.kernelFinishes()
    #expect(life.controller.state == .absent)
    // That was of the one that is gone.
    life.controller.appeared()
    life.controller.start()
    life.actions.kernelFinishes()
    #expect(life.controller.state == .startingBroker)
    #expect(life.actions.unexpectedEvents.isEmpty)
  }

  @Test func whatWasLeftTakenAndIsNotWantedIsGivenBack() {
    let life = Life()
    life.controller.appeared()
    life.controller.giveBack()
    #expect(life.controller.state == .idle && life.actions.taken() == ["release"])
    life.actions.releaseFailure = Failure("pci-release", "give it back")
    life.controller.giveBack()
    #expect(life.controller.state == .failed)
  }

  @Test func aRefusalLeavesTheDevice() {
    let life = Life()
    life.actions.prepareOutcome = .refused([
      Refusal(code: "disk-mounted", message: "it is mounted", hint: "", overridable: true)
    ])
    life.controller.appeared()
    life.controller.start()
    #expect(life.controller.state == .refused)
    #expect(life.controller.reason == "it is mounted")
    #expect(life.actions.taken() == ["prepare"])
    life.actions.prepareOutcome = .ready
    #expect(life.controller.start())
    #expect(life.controller.state == .startingBroker)
    #expect(life.controller.refusals.isEmpty)
  }

  @Test func aDeadDriverIsReplaced() {
    let life = Life()
    life.run()
    life.controller.driverEnded("SIGKILL", byItself: false)
    #expect(life.actions.transitions == ["endingDriver", "quiescing"])
    #expect(life.actions.taken() == ["driverGone 1"])
    life.controller.quiesced()
    #expect(life.controller.state == .backingOff)
    #expect(life.actions.deadline == 100_000_000)
    life.controller.deadlineReached()
    #expect(life.actions.taken() == ["startDriver 2"])
    life.controller.driverReady()
    #expect(life.controller.restarts == 1)
    #expect(life.controller.generation == 2)
  }

  @Test func aLostDriverIsKilledFirst() {
    let life = Life()
    life.run()
    life.controller.driverFailed("no heartbeat")
    #expect(life.actions.taken() == ["killDriver"])
    #expect(life.controller.state == .endingDriver)
    // The broker says it again: nothing new.
    life.controller.driverFailed("hung up")
    #expect(life.controller.restarts == 1)
    life.controller.driverEnded("SIGKILL", byItself: false)
    #expect(life.actions.taken() == ["driverGone 1"])
    #expect(life.controller.reason == "no heartbeat")
  }

  @Test func tooManyDeathsQuarantine() {
    let life = Life {
      $0.restart.burst = 2
      $0.restart.delay = 0
    }
    life.run()
    for _ in 0..<2 {
      life.controller.driverEnded("crash", byItself: false)
      life.controller.quiesced()
      life.controller.deadlineReached()
      life.controller.driverReady()
    }
    _ = life.actions.taken()
    life.controller.driverEnded("crash", byItself: false)
    #expect(life.controller.state == .isolating)
    life.controller.quiesced()
    #expect(life.controller.state == .quarantined)
    #expect(life.controller.reason.contains("crash; that was after 2 restarts"))
    // The outlet stays: neither it nor the broker was touched.
    #expect(life.actions.taken() == ["driverGone 3"])
    life.controller.restart()
    #expect(life.actions.taken() == ["startDriver 4"])
    life.controller.driverReady()
    #expect(life.controller.state == .running)
  }

  @Test func policyNeverAndOnFailure() {
    let never = Life { $0.restart.policy = .never }
    never.run()
    never.controller.driverEnded("crash", byItself: false)
    never.controller.quiesced()
    #expect(never.controller.state == .quarantined)

    let clean = Life { $0.restart.policy = .onFailure }
    clean.run()
    clean.controller.driverEnded("left", byItself: true)
    #expect(clean.controller.state == .isolating)

    let crash = Life { $0.restart.policy = .onFailure }
    crash.run()
    crash.controller.driverEnded("crash", byItself: false)
    #expect(crash.controller.state == .quiescing)
  }

  @Test func anOperatorsRestartIsOrderly() {
    let life = Life()
    life.run()
    #expect(life.controller.restart())
    #expect(life.actions.taken() == ["askDriverToStop 1"])
    // The broker notices the closed socket before the pidfd does; that is no failure.
    life.controller.driverFailed("hung up")
    life.controller.driverEnded("left", byItself: true)
    life.controller.quiesced()
    #expect(life.actions.deadline == 0)
    life.controller.deadlineReached()
    life.controller.driverReady()
    #expect(life.controller.restarts == 0)
    #expect(life.controller.generation == 2)
  }

  @Test func aDriverThatDoesNotStopIsKilled() {
    let life = Life()
    life.run()
    life.controller.restart()
    _ = life.actions.taken()
    life.controller.deadlineReached()
    #expect(life.actions.taken() == ["killDriver"])

    let stopping = Life()
    stopping.run()
    stopping.controller.stop()
    _ = stopping.actions.taken()
    stopping.controller.deadlineReached()
    #expect(stopping.actions.taken() == ["closeOutlet", "killDriver", "killBroker"])
    stopping.controller.brokerEnded("SIGKILL")
    #expect(stopping.controller.state == .tearingDown)
    stopping.controller.driverEnded("SIGKILL", byItself: false)
    #expect(stopping.controller.state == .idle)
    #expect(stopping.actions.taken() == ["release"])
  }

  @Test func aDeadBrokerIsReplacedWithItsDriver() {
    let life = Life()
    life.run()
    life.controller.brokerEnded("SIGKILL")
    #expect(life.actions.taken() == ["killDriver"])
    #expect(life.controller.state == .reaping)
    life.controller.driverEnded("SIGKILL", byItself: false)
    #expect(life.controller.state == .brokerBackoff)
    life.controller.deadlineReached()
    #expect(life.actions.taken() == ["startBroker"])
    life.controller.brokerConfigured()
    #expect(life.actions.taken() == ["startDriver 1"])
    #expect(life.controller.brokerRestarts == 1)
    #expect(life.controller.restarts == 0)
  }

  @Test func aFirstBrokerThatFailsGivesTheDeviceBack() {
    let life = Life()
    life.controller.appeared()
    life.controller.start()
    _ = life.actions.taken()
    life.controller.brokerEnded("vfio-group-busy")
    #expect(life.controller.state == .failed)
    #expect(life.controller.reason == "vfio-group-busy")
    #expect(life.actions.taken() == ["release"])
    #expect(life.controller.start())
  }

  @Test func aBrokerThatCannotBeSpawnedGivesTheDeviceBack() {
    let life = Life()
    life.actions.brokerFailure = Failure("spawn", "open /x")
    life.controller.appeared()
    life.controller.start()
    #expect(life.controller.state == .failed)
    #expect(life.controller.failure?.code == "spawn")
    #expect(life.actions.taken() == ["prepare", "startBroker", "release"])
  }

  @Test func aBrokerThatHangsAtItsStartIsKilled() {
    let life = Life()
    life.controller.appeared()
    life.controller.start()
    _ = life.actions.taken()
    life.controller.deadlineReached()
    #expect(life.actions.taken() == ["killBroker"])
    life.controller.brokerEnded("SIGKILL")
    #expect(life.controller.state == .failed)
  }

  @Test func aDriverThatCannotBeSpawnedCounts() {
    let life = Life { $0.restart.burst = 1 }
    life.actions.driverFailure = Failure("spawn", "open /x")
    life.controller.appeared()
    life.controller.start()
    life.controller.brokerConfigured()
    #expect(life.controller.state == .quiescing)
    life.controller.quiesced()
    life.controller.deadlineReached()
    life.controller.quiesced()
    #expect(life.controller.state == .quarantined)
  }

  @Test func unpluggingEndsEverything() {
    let life = Life()
    life.run()
    life.controller.disappeared()
    #expect(life.actions.taken() == ["closeOutlet", "killDriver", "killBroker"])
    life.controller.driverEnded("SIGKILL", byItself: false)
    life.controller.brokerEnded("SIGKILL")
    #expect(life.actions.taken() == ["release gone"])
    #expect(life.controller.state == .absent)
    life.controller.appeared()
    #expect(life.controller.state == .idle)
  }

  @Test func stopWhileTheDriverDies() {
    let life = Life()
    life.run()
    life.controller.driverFailed("no heartbeat")
    _ = life.actions.taken()
    life.controller.stop()
    // It was killed already: nobody asks it to stop.
    #expect(life.actions.taken() == ["closeOutlet"])
    life.controller.driverEnded("SIGKILL", byItself: false)
    #expect(life.controller.state == .quiescingToStop)
    life.controller.quiesced()
    life.controller.brokerEnded("")
    #expect(life.controller.state == .idle)
  }

  @Test func aDeviceThatCannotBeGivenBackIsFailed() {
    let life = Life()
    life.run()
    life.controller.stop()
    life.controller.driverEnded("", byItself: true)
    life.controller.quiesced()
    life.actions.releaseFailure = Failure("pci-release", "give it back")
    life.controller.brokerEnded("")
    #expect(life.controller.state == .failed)
    life.actions.releaseFailure = nil
    #expect(life.controller.stop())
    #expect(life.controller.state == .idle)
  }

  @Test func manyFaultsRestartOnce() {
    let life = Life()
    life.run()
    for index in 0..<50 { life.controller.violated(.dmaFault, count: 1, detail: "fault \(index)", time: index) }
    #expect(life.actions.taken() == ["killDriver"])
    #expect(life.controller.restarts == 1)
    #expect(life.controller.ledger.entries == [.init(violation: .dmaFault, count: 50, detail: "fault 49", time: 49)])
    life.controller.driverEnded("SIGKILL", byItself: false)
    life.controller.quiesced()
    life.controller.deadlineReached()
    life.controller.driverReady()
    life.controller.violated(.dmaFault, count: 1, detail: "again", time: 60)
    #expect(life.controller.restarts == 2)
  }

  @Test func violationsBeyondTheToleranceQuarantine() {
    let life = Life { $0.violations.tolerate = 2 }
    life.run()
    life.controller.violated(.completionUnknown, count: 1, detail: "tag 1", time: 1)
    life.controller.violated(.completionStale, count: 1, detail: "tag 2", time: 2)
    #expect(life.controller.state == .running)
    life.controller.violated(.completionUnknown, count: 1, detail: "tag 3", time: 3)
    #expect(life.controller.state == .condemningDriver)
    #expect(life.controller.reason == "completion-unknown: tag 3")
  }

  @Test func toleratedFaultsAreOnlyCounted() {
    let life = Life { $0.violations.dmaFault = .tolerate }
    life.run()
    life.controller.violated(.dmaFault, count: 1000, detail: "", time: 0)
    #expect(life.controller.state == .running)
    #expect(life.controller.ledger.entries.first?.count == 1000)
  }

  @Test func anotherPolicyIsInForceAtOnceAndForgetsNothing() {
    let life = Life { $0.violations.dmaFault = .tolerate }
    life.run()
    life.controller.violated(.dmaFault, count: 1, detail: "", time: 0)
    var settings = life.controller.settings
    settings.violations.dmaFault = .quarantine
    life.controller.update(settings)
    life.controller.violated(.dmaFault, count: 1, detail: "again", time: 1)
    #expect(life.controller.state == .condemningDriver)
    #expect(life.controller.ledger.entries.map(\.count) == [2])
  }
}

@Suite struct ViolationLedgerTests {
  @Test func aBurstHasOneConsequenceForEachDriver() {
    var ledger = ViolationLedger(DeviceSettings.Violations())
    ledger.beginGeneration()
    #expect(ledger.record(.dmaFault, count: 1, detail: "", time: 0) == .restart)
    #expect(ledger.record(.dmaFault, count: 1, detail: "", time: 0) == .tolerate)
    ledger.beginGeneration()
    #expect(ledger.record(.dmaFault, count: 1, detail: "", time: 0) == .restart)
    #expect(ledger.entries.map(\.count) == [3])
  }

  @Test func aHarderConsequenceComesOnTop() {
    var ledger = ViolationLedger(DeviceSettings.Violations())
    #expect(ledger.record(.dmaFault, count: 1, detail: "", time: 0) == .restart)
    #expect(ledger.record(.messageFlood, count: 3, detail: "", time: 0) == .tolerate)
    #expect(ledger.record(.messageFlood, count: 1, detail: "", time: 0) == .quarantine)
    #expect(ledger.record(.messageFlood, count: 1, detail: "", time: 0) == .tolerate)
  }
}

@Suite struct BackoffTests {
  @Test func delaysDoubleUpToTheMost() {
    var settings = DeviceSettings.Restart()
    settings.burst = 0
    settings.maximumDelay = 500_000_000
    var backoff = Backoff(settings)
    let delays = (0..<5).map { backoff.failed(at: Nanoseconds($0)) }
    #expect(
      delays == [
        .after(100_000_000), .after(200_000_000), .after(400_000_000), .after(500_000_000), .after(500_000_000),
      ])
  }

  @Test func aQuietIntervalForgets() {
    var backoff = Backoff(DeviceSettings.Restart())
    #expect(backoff.failed(at: 0) == .after(100_000_000))
    #expect(backoff.failed(at: 1) == .after(200_000_000))
    #expect(backoff.failed(at: 61_000_000_000) == .after(100_000_000))
  }

  @Test func moreThanTheBurstGivesUp() {
    var settings = DeviceSettings.Restart()
    settings.burst = 3
    var backoff = Backoff(settings)
    for time in 0..<3 { #expect(backoff.failed(at: Nanoseconds(time)) != .giveUp(3)) }
    #expect(backoff.failed(at: 3) == .giveUp(3))
    // When the oldest are out of the interval there is room again.
    #expect(backoff.failed(at: 60_000_000_001) != .giveUp(3))
  }

  /// However long each takes until it is given up.
  @Test func startsThatComeToNothingDoNotExpire() {
    var settings = DeviceSettings.Restart()
    settings.burst = 3
    let hour: Nanoseconds = 3_600_000_000_000
    var backoff = Backoff(settings)
    for time in 0..<3 { #expect(backoff.failed(at: Nanoseconds(time) * hour, hasServed: false) != .giveUp(3)) }
    #expect(backoff.failed(at: 3 * hour, hasServed: false) == .giveUp(3))
    // One that has served for long begins anew.
    #expect(backoff.failed(at: 4 * hour, hasServed: true) == .after(settings.delay))
  }

  @Test func aDelayOfNothingStillGrows() {
    var settings = DeviceSettings.Restart()
    settings.delay = 0
    var backoff = Backoff(settings)
    #expect(backoff.failed(at: 0) == .after(0))
    #expect(backoff.failed(at: 1) == .after(2_000_000))
  }
}
