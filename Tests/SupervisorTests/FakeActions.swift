import PCI
import Platform

@testable import Supervisor

/// Stands in for sysfs, processes and netlink: writes down what it was asked to do.
final class FakeActions: DeviceActions {
  var calls: [String] = []
  var transitions: [String] = []
  var unexpectedEvents: [String] = []
  /// What is prepared or released waits for ``kernelFinishes()``.
  var isKernelSlow = false
  private var underWay: [() -> Void] = []
  var prepareOutcome = PrepareOutcome.ready
  var releaseFailure: Failure?
  var brokerFailure: Failure?
  var driverFailure: Failure?
  var deadline: Nanoseconds?
  var now: Nanoseconds = 0

  func prepare(_ done: @escaping (PrepareOutcome) -> Void) {
    calls.append("prepare")
    finish { [self] in done(prepareOutcome) }
  }

  func release(isGone: Bool, _ done: @escaping (Failure?) -> Void) {
    calls.append(isGone ? "release gone" : "release")
    finish { [self] in done(releaseFailure) }
  }

  private func finish(_ step: @escaping () -> Void) {
    if isKernelSlow { underWay.append(step) } else { step() }
  }

  /// The kernel does what it was asked for first.
  func kernelFinishes() { underWay.removeFirst()() }

  func startBroker() throws(Failure) {
    calls.append("startBroker")
    if let brokerFailure { throw brokerFailure }
  }

  func askBrokerToStop() { calls.append("askBrokerToStop") }
  func killBroker() { calls.append("killBroker") }

  func startDriver(generation: UInt32) throws(Failure) {
    calls.append("startDriver \(generation)")
    if let driverFailure { throw driverFailure }
  }

  func askDriverToStop(generation: UInt32) { calls.append("askDriverToStop \(generation)") }
  func killDriver() { calls.append("killDriver") }
  func reportDriverGone(generation: UInt32) { calls.append("driverGone \(generation)") }
  func closeOutlet() { calls.append("closeOutlet") }
  func setDeadline(_ delay: Nanoseconds?) { deadline = delay }

  func stateChanged(from: DeviceLifecycle.State, to: DeviceLifecycle.State, reason: String) {
    transitions.append(to.rawValue)
  }

  func unexpected(_ event: DeviceLifecycle.Event, in state: DeviceLifecycle.State) {
    unexpectedEvents.append("\(event) in \(state)")
  }

  /// The calls since the last time.
  func taken() -> [String] {
    defer { calls = [] }
    return calls
  }
}

/// A controller with its fake world.
struct Life {
  let actions = FakeActions()
  let controller: DeviceController

  init(_ change: (inout DeviceSettings) -> Void = { _ in }) {
    var settings = DeviceSettings()
    change(&settings)
    controller = DeviceController(settings: settings, actions: actions)
  }

  /// On the way to `running` with generation 1.
  func run() {
    controller.appeared()
    controller.start()
    controller.brokerConfigured()
    controller.driverReady()
    _ = actions.taken()
    actions.transitions = []
  }
}
