import CBulkhead
import Control
import Logging
import PCI
import Platform
import Protocol

/// One configured device: its controller, its processes and its outlet.
final class DeviceSession {
  let address: PCIAddress
  let host: Host
  /// Where the device comes from.
  private(set) var source: (any DeviceSource)!
  /// What the device runs with; see ``configure(_:)``.
  var assignment: Assignment? {
    didSet { nameLog() }
  }
  /// What the configuration wants since, where that has to wait.
  var pending: Assignment?
  /// The configuration names it no more, but somebody uses it: it is given back when it is stopped.
  var isUnwanted = false
  var name: String {
    didSet { nameLog() }
  }
  var log: Logger

  private(set) var controller: DeviceController!
  var broker: BrokerLink?
  var driver: ChildProcess?
  var driverLog: LogPipe?
  var outlet: (any DeviceOutlet)?
  var record: StateRecord

  /// What a driver says of itself.
  var driverVersion: String?
  /// Why the present driver says it gave up.
  var driverComplaint: String?
  /// Why the present broker says it gives up.
  var brokerComplaint: Failure?
  /// Why we have ended the present broker.
  var brokerSentence: String?
  var counters: BrokerCounters?
  /// What the present broker has measured, as it said last.
  var latencies: [RequestKind: LatencyHistogram] = [:]
  /// Seconds since 1970 when the present broker began, and with it its counters.
  var brokerSince: Int?
  /// Seconds since 1970 when restarts and violations began to be counted: with this session, or when they were reset.
  var countedSince = WallClock.seconds()
  var lastFault: DMAFaultDetail?
  var since = WallClock.seconds()

  /// What the configuration or an operator asks for; what is, is the ``state``.
  enum Desired: String {
    case running
    case stopped
    /// Taken without a driver, when another device of its IOMMU group is.
    case held

    /// What an entry asks for by itself.
    init(_ settings: DeviceSettings) {
      if settings.driver == DeviceSettings.Driver.none {
        self = .held
      } else {
        self = settings.start == .auto ? .running : .stopped
      }
    }
  }

  var desired: Desired

  private var deadline: EventLoop.Token?
  private var settledWaiters: [(DeviceSession) -> Void] = []
  private var counterWaiters: [() -> Void] = []
  private var hasFreshCounters = false
  /// Until the waiters are answered without fresh ones.
  private var counterTimer: EventLoop.Token?
  /// Called when the session has come to rest without the device.
  var onAbsent: (DeviceSession) -> Void = { _ in }

  /// A device that is there.
  convenience init(_ assignment: Assignment, host: Host) {
    self.init(
      address: assignment.address, name: assignment.name, settings: assignment.entry.settings, host: host)
    self.assignment = assignment
    source = assignment.hardware.makeSource(of: self)
    // Observers are not called in an initializer.
    nameLog()
  }

  /// A device that the configuration names by its address, and that is not there yet.
  convenience init(absent address: PCIAddress, name: String, settings: DeviceSettings, host: Host) {
    self.init(address: address, name: name, settings: settings, host: host)
    source = FunctionSource(of: self, device: nil)
  }

  private init(address: PCIAddress, name: String, settings: DeviceSettings, host: Host) {
    self.address = address
    self.name = name
    self.host = host
    desired = Desired(settings)
    record = host.state.load(address) ?? StateRecord(address: address)
    log = host.log
    controller = DeviceController(settings: settings, actions: self)
    nameLog()
    adoptOutlet()
  }

  /// Whom the lines of the log are about.
  private func nameLog() {
    log[metadataKey: "device"] = "\(address)"
    log[metadataKey: "name"] = "\(name)"
    log[metadataKey: "driver"] = assignment?.driver.map { "\($0.manifest.name)" }
  }

  var state: DeviceLifecycle.State { controller.state }

  /// Calls `handler` once nothing happens by itself any more; at once if that is so now.
  func whenSettled(_ handler: @escaping (DeviceSession) -> Void) {
    if state.isResting { handler(self) } else { settledWaiters.append(handler) }
  }

  /// Asks the broker for fresh counters; `handler` is called when they are there, or after a moment without.
  func refreshCounters(_ handler: @escaping () -> Void) {
    guard let broker, state != .startingBroker, (try? broker.send(.report)) != nil else { return handler() }
    outlet?.awaitsReport = state == .running
    counterWaiters.append(handler)
    guard counterWaiters.count == 1 else { return }
    hasFreshCounters = false
    counterTimer = host.loop.after(300_000_000) { [weak self] in self?.countersArrived(nil) }
  }

  /// - Parameter counters: nil: there will be none.
  func countersArrived(_ counters: BrokerCounters?) {
    if let counters { self.counters = counters } else { outlet?.awaitsReport = false }
    hasFreshCounters = true
    reportArrived()
  }

  /// Answers those who wait for a report, if all of it is there.
  func reportArrived() {
    guard hasFreshCounters, outlet?.awaitsReport != true else { return }
    if let counterTimer { host.loop.remove(counterTimer) }
    counterTimer = nil
    let waiters = counterWaiters
    counterWaiters = []
    for waiter in waiters { waiter() }
  }

  func publish(_ kind: String, _ text: String) {
    host.publish(
      Service.Event(
        time: WallClock.seconds(), kind: kind, address: "\(address)", name: name, state: state.label, text: text))
  }

  func report(_ failure: Failure) { tell("failure", .error, failure.description) }

  /// To the log, and to whoever watches.
  func tell(_ kind: String, _ level: Logger.Level, _ text: String) {
    log.log(level: level, "\(text)", metadata: ["event": "\(kind)"])
    publish(kind, text)
  }
}

extension DeviceSession: DeviceActions {
  var now: Nanoseconds { monotonicNow() }

  func setDeadline(_ delay: Nanoseconds?) {
    if let deadline { host.loop.remove(deadline) }
    deadline = nil
    guard let delay else { return }
    deadline = host.loop.after(delay) { [weak self] in
      self?.deadline = nil
      self?.controller.deadlineReached()
    }
  }

  func stateChanged(from: DeviceLifecycle.State, to: DeviceLifecycle.State, reason: String) {
    since = WallClock.seconds()
    // At the end of the way into quarantine or failure, what led there is said again.
    let isEnd = to == .quarantined || to == .failed
    let reason = reason.isEmpty && isEnd ? controller.reason : reason
    let text = "\(from.label) -> \(to.label)" + (reason.isEmpty ? "" : ": \(reason)")
    log.log(level: to.level, "\(text)", metadata: ["event": "\(to.event)", "state": "\(to.label)"])
    if to == .running { outlet?.announce() }
    for refusal in to == .refused ? controller.refusals : [] { log.warning("\(refusal)") }
    publish("state", text)
    guard to.isResting else { return }
    // Not from within the step: the waiters may ask for the next one.
    let waiters = settledWaiters
    settledWaiters = []
    host.loop.after(0) { [weak self] in
      guard let self else { return }
      for waiter in waiters { waiter(self) }
      if to == .absent { self.onAbsent(self) }
    }
  }

  func unexpected(_ event: DeviceLifecycle.Event, in state: DeviceLifecycle.State) {
    log.critical("bug: the event \(event) is not permitted in the state \(state)")
  }

  func closeOutlet() { outlet?.close() }
}

extension DeviceLifecycle.State {
  /// How much an entry into this state matters in the log.
  fileprivate var level: Logger.Level {
    switch self {
    case .quarantined, .failed: .error
    case .refused, .endingDriver, .condemningDriver, .reaping, .abandoning, .withdrawing: .warning
    case .running, .idle, .absent: .notice
    default: .info
    }
  }

  /// The stable name of an entry into this state in the log.
  var event: String {
    switch self {
    case .quarantined: "quarantine"
    case .failed: "failed"
    case .refused: "refused"
    // Something was lost, and another one follows.
    case .backingOff, .brokerBackoff: "restart"
    default: "state"
    }
  }
}
