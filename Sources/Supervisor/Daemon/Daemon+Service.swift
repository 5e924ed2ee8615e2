import Control
import PCI
import Platform

/// The calls of `io.bulkhead`.
extension Daemon: ServiceHandler {
  func list(all: Bool, _ call: ServiceCall) {
    var devices = orderedSessions.map(Device.init)
    if all, let present = try? host.bus.devices() {
      devices += present.filter { !$0.isBridge && sessions[$0.address] == nil }.map {
        Device($0, exemption: configuration.exemption(of: $0))
      }
      devices.sort { $0.address < $1.address }
    }
    call.reply(Service.DevicesReply(devices: devices))
  }

  func status(_ device: String?, _ call: ServiceCall) {
    var wanted = orderedSessions
    if let device {
      switch find(device) {
      case .failure(let error):
        guard error.name == .notConfigured, let address = PCIAddress(device),
          let found = try? host.bus.device(at: address)
        else { return call.fail(error) }
        return call.reply(Service.DevicesReply(devices: [Device(found, exemption: configuration.exemption(of: found))]))
      case .success(let session): wanted = [session]
      }
    }
    var left = wanted.count
    let answer = { call.reply(Service.DevicesReply(devices: wanted.map(Device.init))) }
    guard left > 0 else { return answer() }
    for session in wanted {
      session.refreshCounters {
        left -= 1
        if left == 0 { answer() }
      }
    }
  }

  func check(_ device: String?, _ call: ServiceCall) {
    var address: PCIAddress?
    if let device {
      address = PCIAddress(device) ?? sessions.values.first { $0.name == device }?.address
      guard address != nil else { return call.fail(noSuchDevice(device)) }
    }
    let chosen = orderedSessions.filter { address == nil || $0.address == address }
    let emulated = chosen.compactMap(\.source.isolation)
    // There may be no PCI at all, and nobody who wants to know.
    if device != nil || !configuration.needsHardware, !emulated.isEmpty {
      return call.reply(Service.ChecksReply(checks: emulated))
    }
    let configuration = configuration
    let held = sessions.values.filter(\.isHeld)
    do throws(Failure) {
      let checks = try IsolationInspector(tree: host.tree).checks(
        of: address, claimed: Set(held.map(\.address)), drivers: { configuration.drivers(for: DeviceIdentity($0)) })
      call.reply(Service.ChecksReply(checks: checks + emulated))
    } catch {
      let name: ServiceError.Name = error.code == "pci-no-device" ? .noSuchDevice : .failed
      call.fail(ServiceError(name, device: device ?? "", message: error.oneLine, hint: error.hint))
    }
  }

  func monitor(_ call: ServiceCall) {
    nextMonitor += 1
    let number = nextMonitor
    monitors[number] = call
    call.whenClosed { [weak self] in self?.monitors[number] = nil }
  }

  func operate(_ method: Service.Method, _ device: String, force: Bool, _ call: ServiceCall) {
    guard !isStopping else {
      return call.fail(ServiceError(.invalidState, device: device, message: "bulkheadd is stopping"))
    }
    switch find(device) {
    case .failure(let error): call.fail(error)
    case .success(let session):
      do throws(ServiceError) {
        switch method {
        case .stop: try stop(session, force: force)
        case .restart: try start(session, again: true)
        default: try start(session, again: false)
        }
        // What is held runs no driver that could be wanted or not.
        if session.desired != .held { session.desired = method == .stop ? .stopped : .running }
        session.whenSettled { [weak self] session in
          self?.answer(method, session, call)
          self?.forgetUnwanted(session)
        }
      } catch { call.fail(error) }
    }
  }

  /// What the configuration names no more was kept only for those who used it.
  private func forgetUnwanted(_ session: DeviceSession) {
    if session.isUnwanted, session.state.isFree, sessions[session.address] === session {
      sessions[session.address] = nil
    }
  }

  func start(_ session: DeviceSession, again: Bool) throws(ServiceError) {
    let device = "\(session.address)"
    if session.state == .absent {
      throw ServiceError(
        .invalidState, device: device, message: "\(device) (\(session.name)) is not there",
        hint: "plug it in; it starts by itself then")
    }
    if session.assignment?.driver == nil {
      throw ServiceError(
        .invalidState, device: device, message: "\(device) is held for the sake of its IOMMU group, without a driver",
        hint: "give its entry a driver")
    }
    if again ? session.controller.restart() : session.controller.start() { return }
    // Running, or on the way there.
    if !again, !session.state.isEnding { return }
    throw ServiceError(
      .invalidState, device: device, message: "\(device) (\(session.name)) is \(session.state.label)",
      hint: "wait until that is over: bulkheadctl status \(session.name)")
  }

  func stop(_ session: DeviceSession, force: Bool) throws(ServiceError) {
    let uses = session.outlet?.uses() ?? []
    if !uses.isEmpty, !force {
      throw ServiceError(
        .inUse, device: "\(session.address)", message: uses.joined(separator: "; "),
        hint: "unmount it first, or stop it with --force and lose what is not written yet")
    }
    if session.controller.stop() || session.state.isFree || session.state.isEnding { return }
    throw ServiceError(
      .invalidState, device: "\(session.address)",
      message: "\(session.address) (\(session.name)) is \(session.state.label)", hint: "try again in a moment")
  }

  func answer(_ method: Service.Method, _ session: DeviceSession, _ call: ServiceCall) {
    let device = "\(session.address)"
    let reason = session.controller.reason
    let failure = session.controller.failure
    switch session.state {
    case .running where method != .stop, .idle where method == .stop, .absent where method == .stop,
      .refused where method == .stop:
      call.reply(Service.DeviceReply(device: Device(session)))
    case .refused:
      call.fail(
        ServiceError(
          .refused, device: device, message: "\(device) (\(session.name)) is not taken: \(reason)",
          hint: session.controller.refusals.first?.hint ?? "",
          reasons: session.controller.refusals.map(Reason.init)))
    default:
      call.fail(
        ServiceError(
          .failed, device: device,
          message: "\(device) (\(session.name)) is \(session.state.label)" + (reason.isEmpty ? "" : ": \(reason)"),
          hint: failure.flatMap { $0.hint.isEmpty ? nil : $0.hint } ?? "see the log of bulkheadd"))
    }
  }

  func noSuchDevice(_ text: String) -> ServiceError {
    let names = sessions.values.map(\.name) + sessions.keys.map(\.description)
    let near = Suggestion.nearest(to: text, among: names)
    return ServiceError(
      .noSuchDevice, device: text, message: "there is no device \"\(text)\"",
      hint: near.map { "did you mean \"\($0)\"?" } ?? "bulkheadctl list --all shows all devices")
  }

  /// By name, or by address, full or short.
  func find(_ text: String) -> Result<DeviceSession, ServiceError> {
    if let session = sessions.values.first(where: { $0.name == text }) { return .success(session) }
    guard let address = PCIAddress(text) else { return .failure(noSuchDevice(text)) }
    if let session = sessions[address] { return .success(session) }
    guard let device = try? host.bus.device(at: address) else { return .failure(noSuchDevice(text)) }
    return .failure(
      ServiceError(
        .notConfigured, device: text, message: "the configuration does not name \(device.summary)",
        hint: configuration.exemption(of: device).map { "the entry at \($0.location.short) leaves it to the kernel" }
          ?? "bulkheadctl attach \(address) takes it; with --permanent at each boot"))
  }
}

extension DeviceLifecycle.State {
  /// On the way out of our hands.
  fileprivate var isEnding: Bool {
    switch self {
    case .preparingToStop, .stoppingDriver, .quiescingToStop, .stoppingBroker, .tearingDown, .releasing, .removing,
      .discarding, .abandoning, .withdrawing, .returning:
      true
    default: false
    }
  }
}
