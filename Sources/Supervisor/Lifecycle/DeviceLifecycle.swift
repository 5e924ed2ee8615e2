import Protocol

/// The life of one device, as the supervisor sees it.
///
/// A device has a broker, which outlives drivers, and at most one driver at a time. What happens at the entry of each
/// state is in ``DeviceController``; which event is sent where a policy decides (restart or give up) too.
public enum DeviceLifecycle {
  public enum State: String, CaseIterable, Sendable {
    /// Not on the bus.
    case absent
    /// On the bus, and not in our hands.
    case idle
    /// A start was refused; the device is as it was.
    case refused
    /// Binding, control group, socket.
    case preparing
    /// As preparing; the device is given back as soon as the kernel has let it go.
    case preparingToStop
    case startingBroker
    case startingDriver
    case running
    /// The operator wants another driver: this one shuts down in order.
    case cyclingDriver
    /// The driver is being killed; another one follows.
    case endingDriver
    /// The driver is gone; the broker resets the device.
    case quiescing
    /// Waiting before the next driver.
    case backingOff
    /// The driver is being killed; no other follows.
    case condemningDriver
    /// As quiescing, and no other driver follows.
    case isolating
    /// No driver until the operator wants one; the outlet stays, its requests wait.
    case quarantined
    /// The driver shuts down, before the device is given back.
    case stoppingDriver
    /// As quiescing, before the device is given back.
    case quiescingToStop
    /// The broker closes the outlet and leaves.
    case stoppingBroker
    /// Both processes are being killed, before the device is given back.
    case tearingDown
    /// The broker died; its driver is being killed, both are started again.
    case reaping
    /// Waiting before the next broker.
    case brokerBackoff
    /// The broker died too often; its driver is being killed.
    case abandoning
    /// The first broker could not do its work; it is being killed.
    case withdrawing
    /// As releasing, after a start that failed.
    case returning
    /// The start did not succeed, and the device was given back; or the broker died too often, and the device stays
    /// bound until a stop.
    case failed
    /// The kernel's driver gets its device back.
    case releasing
    /// The device is being unplugged; its processes are being killed.
    case removing
    /// The device is gone; what it left behind is cleaned away.
    case discarding
  }

  public enum Event: String, CaseIterable, Sendable {
    case appeared
    case disappeared
    /// The operator, or the configuration at start-up.
    case start
    case stop
    case restart
    /// The supervisor at its start: the device was left taken, and nobody wants it.
    case giveBack
    case prepared
    case refused
    case prepareFailed
    case brokerConfigured
    /// The first broker of a start ended, or took too long.
    case startFailed
    /// The broker's process ended, and another one may follow.
    case brokerLost
    /// The broker's process ended, and no other one may follow.
    case brokerCondemned
    case driverReady
    /// The driver is lost or to be ended, and another one may follow.
    case driverLost
    /// The driver is lost or to be ended, and no other one may follow.
    case driverCondemned
    /// The driver's process ended.
    case driverExited
    case quiesced
    /// The time of the state is over.
    case deadline
    /// Neither broker nor driver has a process any more.
    case processesGone
    case released
    case releaseFailed
  }

  public typealias Machine = StateMachine<State, Event>

  public static let machine = Machine(name: "Device life cycle", initial: .absent, steps: steps)

  private static var steps: [Machine.Step] {
    rest + starting + serving + restarting + quarantining + stopping + brokerLoss + removal
  }

  private static var rest: [Machine.Step] {
    [
      .init(.absent, .appeared, .idle),
      .init(.idle, .start, .preparing),
      .init(.idle, .restart, .preparing),
      .init(.idle, .disappeared, .absent),
      .init(.idle, .giveBack, .releasing),
      .init(.refused, .start, .preparing),
      .init(.refused, .restart, .preparing),
      .init(.refused, .stop, .idle),
      .init(.refused, .disappeared, .absent),
      .init(.failed, .start, .preparing),
      .init(.failed, .restart, .preparing),
      .init(.failed, .stop, .releasing),
      .init(.failed, .disappeared, .discarding),
    ]
  }

  private static var starting: [Machine.Step] {
    [
      .init(.preparing, .prepared, .startingBroker),
      .init(.preparing, .refused, .refused),
      .init(.preparing, .prepareFailed, .failed),
      .init(.preparing, .stop, .preparingToStop),
      .init(.preparingToStop, .prepared, .releasing),
      .init(.preparingToStop, .refused, .idle),
      .init(.preparingToStop, .prepareFailed, .releasing),
      .init(.startingBroker, .brokerConfigured, .startingDriver),
      .init(.startingBroker, .deadline, .reaping),
      .init(.startingBroker, .startFailed, .withdrawing),
      .init(.withdrawing, .processesGone, .returning),
      .init(.withdrawing, .stop, .tearingDown),
      .init(.returning, .released, .failed),
      .init(.returning, .releaseFailed, .failed),
      .init(.startingBroker, .stop, .stoppingBroker),
      .init(.startingDriver, .driverReady, .running),
      .init(.startingDriver, .driverLost, .endingDriver),
      .init(.startingDriver, .driverCondemned, .condemningDriver),
      .init(.startingDriver, .restart, .endingDriver),
      .init(.startingDriver, .stop, .stoppingDriver),
    ]
  }

  private static var serving: [Machine.Step] {
    [
      .init(.running, .driverLost, .endingDriver),
      .init(.running, .driverCondemned, .condemningDriver),
      .init(.running, .restart, .cyclingDriver),
      .init(.running, .stop, .stoppingDriver),
    ]
  }

  private static var restarting: [Machine.Step] {
    [
      .init(.cyclingDriver, .driverExited, .quiescing),
      .init(.cyclingDriver, .driverLost, .endingDriver),
      .init(.cyclingDriver, .driverCondemned, .condemningDriver),
      .init(.cyclingDriver, .deadline, .endingDriver),
      .init(.cyclingDriver, .stop, .stoppingDriver),
      .init(.endingDriver, .driverExited, .quiescing),
      .init(.endingDriver, .driverCondemned, .condemningDriver),
      .init(.endingDriver, .stop, .stoppingDriver),
      .init(.quiescing, .quiesced, .backingOff),
      .init(.quiescing, .driverCondemned, .isolating),
      .init(.quiescing, .deadline, .reaping),
      .init(.quiescing, .stop, .quiescingToStop),
      .init(.backingOff, .deadline, .startingDriver),
      .init(.backingOff, .restart, .startingDriver),
      .init(.backingOff, .driverCondemned, .quarantined),
      .init(.backingOff, .stop, .stoppingBroker),
    ]
  }

  private static var quarantining: [Machine.Step] {
    [
      .init(.condemningDriver, .driverExited, .isolating),
      .init(.condemningDriver, .stop, .stoppingDriver),
      .init(.isolating, .quiesced, .quarantined),
      .init(.isolating, .deadline, .abandoning),
      .init(.isolating, .stop, .quiescingToStop),
      .init(.quarantined, .start, .startingDriver),
      .init(.quarantined, .restart, .startingDriver),
      .init(.quarantined, .stop, .stoppingBroker),
    ]
  }

  private static var stopping: [Machine.Step] {
    [
      .init(.stoppingDriver, .driverExited, .quiescingToStop),
      .init(.stoppingDriver, .deadline, .tearingDown),
      .init(.quiescingToStop, .quiesced, .stoppingBroker),
      .init(.quiescingToStop, .deadline, .tearingDown),
      .init(.stoppingBroker, .brokerLost, .releasing),
      .init(.stoppingBroker, .deadline, .tearingDown),
      .init(.tearingDown, .processesGone, .releasing),
      .init(.releasing, .released, .idle),
      .init(.releasing, .releaseFailed, .failed),
    ]
  }

  private static var brokerLoss: [Machine.Step] {
    let restarted: [State] = [
      .startingBroker, .startingDriver, .running, .cyclingDriver, .endingDriver, .quiescing, .backingOff,
    ]
    let givenUp: [State] = [.condemningDriver, .isolating, .quarantined]
    return restarted.flatMap { state -> [Machine.Step] in
      [.init(state, .brokerLost, .reaping), .init(state, .brokerCondemned, .abandoning)]
    }
      + givenUp.flatMap { state -> [Machine.Step] in
        [.init(state, .brokerLost, .abandoning), .init(state, .brokerCondemned, .abandoning)]
      } + [
        .init(.stoppingDriver, .brokerLost, .tearingDown),
        .init(.quiescingToStop, .brokerLost, .tearingDown),
        .init(.reaping, .processesGone, .brokerBackoff),
        .init(.reaping, .brokerCondemned, .abandoning),
        .init(.reaping, .stop, .tearingDown),
        .init(.brokerBackoff, .deadline, .startingBroker),
        .init(.brokerBackoff, .restart, .startingBroker),
        .init(.brokerBackoff, .stop, .releasing),
        .init(.abandoning, .processesGone, .failed),
        .init(.abandoning, .stop, .tearingDown),
      ]
  }

  /// Unplugged in whatever state.
  private static var removal: [Machine.Step] {
    let withProcesses: [State] = [
      .startingBroker, .startingDriver, .running, .cyclingDriver, .endingDriver, .quiescing, .backingOff,
      .condemningDriver, .isolating, .quarantined, .stoppingDriver, .quiescingToStop, .stoppingBroker, .tearingDown,
      .reaping, .brokerBackoff, .abandoning, .withdrawing,
    ]
    return withProcesses.map { .init($0, .disappeared, .removing) } + [
      .init(.removing, .processesGone, .discarding),
      .init(.discarding, .released, .absent),
      .init(.discarding, .releaseFailed, .absent),
    ]
  }
}

extension DeviceLifecycle.State {
  /// Nothing happens by itself in these: an operation that was asked for is over.
  public var isResting: Bool {
    switch self {
    case .absent, .idle, .refused, .running, .quarantined, .failed: true
    default: false
    }
  }

  /// The kernel binds or unbinds the device, or may do so.
  var isWithKernel: Bool {
    switch self {
    case .preparing, .preparingToStop, .releasing, .returning: true
    default: false
    }
  }

  /// Nothing of the device is in our hands.
  public var isFree: Bool {
    switch self {
    case .absent, .idle, .refused: true
    default: false
    }
  }

  /// As `running` and the others are shown: `backing-off`.
  public var label: String {
    rawValue.map { $0.isUppercase ? "-\($0.lowercased())" : String($0) }.joined()
  }
}
