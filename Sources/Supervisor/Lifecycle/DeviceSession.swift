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
  /// What the configuration wants now; taken up at the next start.
  var assignment: Assignment?
  var name: String
  var log: Logger

  private(set) var controller: DeviceController!
  var broker: BrokerLink?
  var driver: ChildProcess?
  var driverLog: LogPipe?
  var outlet: KernelBlockOutlet?
  var record: StateRecord
  /// The listening socket for NBD clients, kept for the next broker.
  var listener: Int32?

  /// What a driver says of itself.
  var driverVersion: String?
  /// Why the present driver says it gave up.
  var driverComplaint: String?
  /// Why the present broker says it gives up.
  var brokerComplaint: Failure?
  var units: [BlockUnit] = []
  /// Units whose addresses for NBD clients are in the log already.
  var announcedUnits: Set<UInt16> = []
  var counters: BrokerCounters?
  var lastFault: DMAFaultDetail?
  var since = WallClock.seconds()

  private var deadline: EventLoop.Token?
  private var settledWaiters: [(DeviceSession) -> Void] = []
  private var counterWaiters: [() -> Void] = []
  /// Called when the session has come to rest without the device.
  var onAbsent: (DeviceSession) -> Void = { _ in }

  /// A device that is there.
  convenience init(_ assignment: Assignment, host: Host) {
    self.init(
      address: assignment.address, name: assignment.name, settings: assignment.entry.settings, host: host)
    self.assignment = assignment
    source = assignment.hardware.makeSource(of: self)
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
    record = host.state.load(address) ?? StateRecord(address: address)
    var log = host.log
    log[metadataKey: "device"] = "\(address) \(name)"
    self.log = log
    controller = DeviceController(settings: settings, actions: self)
    if !record.units.isEmpty { outlet = makeOutlet(record.units) }
  }

  var state: DeviceLifecycle.State { controller.state }

  func makeOutlet(_ units: [StateRecord.Unit] = []) -> KernelBlockOutlet {
    KernelBlockOutlet(name: name, identifier: "bulkhead/\(address)", units: units)
  }

  /// Calls `handler` once nothing happens by itself any more; at once if that is so now.
  func whenSettled(_ handler: @escaping (DeviceSession) -> Void) {
    if state.isResting { handler(self) } else { settledWaiters.append(handler) }
  }

  /// Asks the broker for fresh counters; `handler` is called when they are there, or after a moment without.
  func refreshCounters(_ handler: @escaping () -> Void) {
    guard let broker, state != .startingBroker, (try? broker.send(.report)) != nil else { return handler() }
    counterWaiters.append(handler)
    guard counterWaiters.count == 1 else { return }
    host.loop.after(300_000_000) { [weak self] in self?.countersArrived(nil) }
  }

  func countersArrived(_ counters: BrokerCounters?) {
    if let counters { self.counters = counters }
    let waiters = counterWaiters
    counterWaiters = []
    for waiter in waiters { waiter() }
  }

  /// Says where NBD clients find the device.
  private func announce() {
    guard listener != nil else { return }
    for unit in units where announcedUnits.insert(unit.index).inserted {
      log.info("\(NBDAddress(socket: socketPath, export: unit.index == 0 ? "" : unit.exportName))")
    }
  }

  /// The name of a unit's block device.
  func outletName(of unit: BlockUnit) -> String { outlet?.name(of: unit) ?? name }

  func publish(_ kind: String, _ text: String) {
    host.publish(
      Service.Event(
        time: WallClock.seconds(), kind: kind, address: "\(address)", name: name, state: state.label, text: text))
  }

  func report(_ failure: Failure) {
    log.error("\(failure)")
    publish("failure", failure.description)
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
    switch to {
    case .quarantined, .failed: log.error("\(text)")
    case .refused, .endingDriver, .condemningDriver, .reaping, .abandoning, .withdrawing: log.warning("\(text)")
    case .running, .idle, .absent: log.notice("\(text)")
    default: log.info("\(text)")
    }
    if to == .running { announce() }
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

  func closeOutlet() {
    guard let outlet else { return }
    for failure in outlet.disconnect() { report(failure) }
    record.units = []
    if !record.bindings.isEmpty { try? host.state.save(record) }
  }
}
