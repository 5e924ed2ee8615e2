import PCI
import Platform
import Protocol

/// One device's life in motion: takes events, steps the machine, and acts at the entry of each state.
///
/// Single-threaded. Actions may send events while they run; those are taken afterwards, in order.
public final class DeviceController {
  typealias State = DeviceLifecycle.State
  typealias Event = DeviceLifecycle.Event

  private unowned let actions: any DeviceActions
  private let machine = DeviceLifecycle.machine
  private var queue: [(event: Event, reason: String)] = []
  private var isBusy = false

  public private(set) var state = DeviceLifecycle.State.absent
  /// Why the state is as it is; empty in the ordinary course.
  public private(set) var reason = ""
  public private(set) var refusals: [Refusal] = []
  /// What made the last start fail.
  public private(set) var failure: Failure?

  var settings: DeviceSettings
  /// The number of the present or last driver of the present broker; 0: it had none.
  public private(set) var generation: UInt32 = 0
  /// Drivers started again because one was lost.
  public private(set) var restarts = 0
  public private(set) var brokerRestarts = 0
  public internal(set) var ledger: ViolationLedger
  var driverBackoff: Backoff
  var brokerBackoff: Backoff
  /// A broker has done its set-up since the last start.
  var wasConfigured = false
  /// How long the state that follows has to wait.
  private var delay: Nanoseconds = 0
  var hasBroker = false
  var hasDriver = false
  /// Why the device is gone, where that was heard while the kernel was binding or unbinding it: that is waited for.
  var disappearance: String?
  /// The driver was sent SIGKILL, or the broker was told already that it is gone.
  private var isDriverKilled = false

  /// How long a broker may take to open and confine itself, a driver or broker to shut down, and a device to be reset.
  public struct Patience: Sendable {
    public var brokerStart: Nanoseconds = 60_000_000_000
    public var driverStop: Nanoseconds = 15_000_000_000
    public var quiesce: Nanoseconds = 30_000_000_000
    public var brokerStop: Nanoseconds = 15_000_000_000
    public init() {}
  }

  private let patience: Patience

  public init(settings: DeviceSettings, actions: any DeviceActions, patience: Patience = Patience()) {
    self.settings = settings
    self.actions = actions
    self.patience = patience
    ledger = ViolationLedger(settings.violations)
    driverBackoff = Backoff(settings.restart)
    brokerBackoff = Backoff(settings.restart)
  }

  /// Takes other settings: policy at once, the rest at the next start.
  public func update(_ settings: DeviceSettings) {
    self.settings = settings
    ledger.settings = settings.violations
    resetPolicy()
  }

  /// Forgets earlier failures: the operator's word counts for more.
  func resetPolicy() {
    driverBackoff = Backoff(settings.restart)
    brokerBackoff = Backoff(settings.restart)
  }

  /// Forgets what has failed and how often: as if the device had come just now. Changes no state.
  public func forget() {
    resetPolicy()
    restarts = 0
    brokerRestarts = 0
    ledger = ViolationLedger(settings.violations)
    failure = nil
    refusals = []
    if state == .running || state == .idle { reason = "" }
  }

  var actionsNow: Nanoseconds { actions.now }

  /// Whether the machine has a step for `event` now.
  func permits(_ event: Event) -> Bool { machine.next(state, event) != nil }

  /// Sets the delay that the next ``State/backingOff`` or ``State/brokerBackoff`` waits.
  func setDelay(_ delay: Nanoseconds) { self.delay = delay }

  func send(_ event: Event, _ reason: String = "") {
    queue.append((event, reason))
    guard !isBusy else { return }
    isBusy = true
    while !queue.isEmpty {
      let next = queue.removeFirst()
      step(next.event, next.reason)
    }
    isBusy = false
    if let disappearance, permits(.disappeared) { disappeared(disappearance) }
  }

  private func step(_ event: Event, _ reason: String) {
    guard let next = machine.next(state, event) else {
      actions.unexpected(event, in: state)
      return
    }
    let former = state
    state = next
    // A quarantine or failure keeps the reason of what led to it.
    let isOrdinary = next == .running || next == .idle || next == .absent || next == .preparing
    if !reason.isEmpty || isOrdinary { self.reason = reason }
    actions.setDeadline(nil)
    actions.stateChanged(from: former, to: next, reason: reason)
    enter(next)
  }

  private func enter(_ state: State) {
    switch state {
    case .absent, .idle, .refused, .running, .quarantined, .failed, .preparingToStop: break
    case .preparing: prepare()
    case .startingBroker: startBroker()
    case .startingDriver: startDriver()
    case .cyclingDriver:
      actions.askDriverToStop(generation: generation)
      actions.setDeadline(patience.driverStop)
    case .endingDriver, .condemningDriver: killDriver()
    case .quiescing, .isolating, .quiescingToStop:
      actions.reportDriverGone(generation: generation)
      actions.setDeadline(patience.quiesce)
    case .backingOff, .brokerBackoff: actions.setDeadline(delay)
    case .stoppingDriver: stopDriver()
    case .stoppingBroker:
      actions.closeOutlet()
      actions.askBrokerToStop()
      actions.setDeadline(patience.brokerStop)
    case .tearingDown, .removing:
      actions.closeOutlet()
      killAll()
    case .reaping, .abandoning, .withdrawing: killAll()
    case .releasing, .discarding, .returning:
      actions.release(isGone: state == .discarding) { [weak self] failure in
        guard let self else { return }
        if let failure { self.failure = failure }
        self.send(failure == nil ? .released : .releaseFailed, failure?.description ?? "")
      }
    }
  }

  private func prepare() {
    refusals = []
    failure = nil
    wasConfigured = false
    actions.prepare { [weak self] in self?.prepared($0) }
  }

  private func prepared(_ outcome: PrepareOutcome) {
    switch outcome {
    case .ready: send(.prepared)
    case .refused(let refusals):
      self.refusals = refusals
      send(.refused, refusals.map(\.message).joined(separator: "; "))
    case .failed(let failure):
      self.failure = failure
      send(.prepareFailed, failure.step)
    }
  }

  private func startBroker() {
    generation = 0
    do throws(Failure) {
      try actions.startBroker()
      hasBroker = true
      actions.setDeadline(patience.brokerStart)
    } catch {
      failure = error
      brokerEnded(error.description)
    }
  }

  private func startDriver() {
    generation += 1
    isDriverKilled = false
    ledger.beginGeneration()
    do throws(Failure) {
      try actions.startDriver(generation: generation)
      hasDriver = true
      // The broker minds the time; this is for a broker that does not.
      actions.setDeadline(settings.heartbeat.start + patience.quiesce)
    } catch {
      failure = error
      // The broker may have the driver's socket already, so this is treated like a driver that died.
      driverFailed("the driver could not be started: \(error.step)")
    }
  }

  private func killDriver() {
    if hasDriver {
      isDriverKilled = true
      actions.killDriver()
    } else {
      send(.driverExited)
    }
  }

  private func stopDriver() {
    actions.closeOutlet()
    guard hasDriver else { return send(.driverExited) }
    if !isDriverKilled { actions.askDriverToStop(generation: generation) }
    actions.setDeadline(patience.driverStop)
  }

  private func killAll() {
    if hasDriver { actions.killDriver() }
    if hasBroker { actions.killBroker() }
    sendIfAllGone()
  }

  /// In a state that waits for both processes, tells that they are gone.
  func sendIfAllGone() {
    if !hasDriver, !hasBroker, permits(.processesGone) { send(.processesGone) }
  }

  func countRestart() { restarts += 1 }
  func countBrokerRestart() { brokerRestarts += 1 }
  func note(_ failure: Failure) { self.failure = failure }
}
