import Platform
import Protocol

/// What happens in the world, turned into events of the life cycle; here policy decides between another try and none.
extension DeviceController {
  public func appeared() {
    if permits(.appeared) { send(.appeared) }
  }

  public func disappeared(_ reason: String = "the device was removed") {
    if permits(.disappeared) {
      disappearance = nil
      send(.disappeared, reason)
    } else if state.isWithKernel {
      disappearance = reason
    }
  }

  /// A device that an earlier supervisor has left taken, and that is not wanted.
  public func giveBack() {
    if permits(.giveBack) { send(.giveBack) }
  }

  /// - Returns: false where there is nothing to start from this state.
  @discardableResult
  public func start() -> Bool { operate(.start) }

  @discardableResult
  public func stop() -> Bool { operate(.stop) }

  @discardableResult
  public func restart() -> Bool { operate(.restart) }

  private func operate(_ event: DeviceLifecycle.Event) -> Bool {
    guard permits(event) else { return false }
    resetPolicy()
    setDelay(0)
    send(event)
    return true
  }

  public func deadlineReached() {
    switch state {
    case .startingDriver: driverFailed("the driver did not become ready in time")
    case .startingBroker:
      let (event, reason) = brokerVerdict("the broker did not become ready in time")
      send(event == .brokerLost ? .deadline : event, reason)
    case .quiescing: send(.deadline, "the broker did not reset the device in time")
    default: send(.deadline)
    }
  }

  public func brokerConfigured() {
    guard permits(.brokerConfigured) else { return }
    wasConfigured = true
    send(.brokerConfigured)
  }

  public func driverReady() {
    if permits(.driverReady) { send(.driverReady) }
  }

  public func quiesced() {
    if permits(.quiesced) { send(.quiesced) }
  }

  /// The broker's process ended.
  public func brokerEnded(_ reason: String) {
    hasBroker = false
    switch state {
    case .tearingDown, .removing, .reaping, .abandoning, .withdrawing: sendIfAllGone()
    case .stoppingBroker, .stoppingDriver, .quiescingToStop, .condemningDriver, .isolating, .quarantined:
      send(.brokerLost, state == .stoppingBroker ? "" : reason)
    default:
      let (event, text) = brokerVerdict(reason)
      send(event, text)
    }
  }

  private func brokerVerdict(_ reason: String) -> (DeviceLifecycle.Event, String) {
    // What the first broker cannot do the second cannot either, and nothing depends on it yet.
    if state == .startingBroker, !wasConfigured { return (.startFailed, reason) }
    if settings.restart.policy == .never { return (.brokerCondemned, "\(reason); policy: never restart") }
    switch brokerBackoff.failed(at: actionsNow) {
    case .after(let delay):
      setDelay(delay)
      countBrokerRestart()
      return (.brokerLost, reason)
    case .giveUp(let count):
      return (.brokerCondemned, "\(reason); that was after \(count) restarts of the broker within the interval")
    }
  }

  /// The driver's process ended.
  /// - Parameter byItself: with status 0.
  public func driverEnded(_ reason: String, byItself: Bool) {
    hasDriver = false
    switch state {
    case .startingDriver, .running: driverFailed(reason, byItself: byItself)
    case .tearingDown, .removing, .reaping, .abandoning, .withdrawing: sendIfAllGone()
    default:
      if permits(.driverExited) { send(.driverExited) }
    }
  }

  /// The driver is lost, or to be ended for what it did. Policy decides whether another one follows.
  public func driverFailed(_ reason: String, byItself: Bool = false) {
    guard permits(.driverLost) else { return }
    // It was to be replaced anyway.
    if state == .cyclingDriver { return send(.driverLost, reason) }
    if settings.restart.policy == .never {
      return send(.driverCondemned, "\(reason); policy: never restart")
    }
    if settings.restart.policy == .onFailure, byItself {
      return send(.driverCondemned, "\(reason); policy: restart on failure only")
    }
    let hasServed = state == .running
    switch driverBackoff.failed(at: actionsNow, hasServed: hasServed) {
    case .after(let delay):
      setDelay(delay)
      countRestart()
      send(.driverLost, reason)
    case .giveUp(let count):
      let span = hasServed ? "within the interval" : "in a row, or within the interval"
      send(.driverCondemned, "\(reason); that was after \(count) restarts \(span)")
    }
  }

  /// The driver or its device did what it must not do.
  public func violated(_ violation: Violation, count: Int, detail: String, time: Int) {
    let consequence = ledger.record(violation, count: count, detail: detail, time: time)
    switch consequence {
    case .tolerate: break
    case .restart: driverFailed("\(violation.name): \(detail)")
    case .quarantine:
      if permits(.driverCondemned) { send(.driverCondemned, "\(violation.name): \(detail)") }
    }
  }

  /// A violation that was inferred; it is counted, and that is all.
  public func inferred(_ violation: Violation, count: Int, detail: String, time: Int) {
    ledger.note(violation, count: count, detail: detail, time: time)
  }
}
