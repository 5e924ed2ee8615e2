import Control
import PCI
import Platform

/// Attach: a device becomes Bulkhead's without an entry in the administrator's own files.
extension Daemon {
  /// What an attach comes to.
  private struct AttachPlan {
    var change = DropInChange()
    /// The device runs already, and only becomes permanent.
    var isRecordOnly = false
  }

  func attach(_ parameters: Service.AttachParameters, _ call: ServiceCall) {
    do throws(ServiceError) {
      let devices = try presentDevices()
      let device = try locate(parameters.device ?? "", devices)
      let plan = try plan(parameters, device, devices)
      let takeBack = try putInForce(plan.change, for: "\(device.address)", mustBeRight: true)
      do throws(ServiceError) {
        try carryOut(plan, device, devices, takeBack, call)
      } catch {
        takeBack()
        throw error
      }
    } catch { call.fail(error) }
  }

  private func plan(
    _ parameters: Service.AttachParameters, _ device: PCIDevice, _ devices: [PCIDevice]
  ) throws(ServiceError) -> AttachPlan {
    let address = "\(device.address)"
    let isPermanent = parameters.permanent ?? false
    try check(parameters, device)
    var plan = AttachPlan()
    plan.change = try liftedExemptions(device, isPermanent)
    let entry = try configuredEntry(device, devices)
    guard let entry else {
      let kind = DropIn.Kind.attach(driver: parameters.driver ?? "auto", name: parameters.name)
      try add(DropIn(device.address, kind), isPermanent, to: &plan.change)
      return plan
    }
    try compare(parameters, entry, address)
    if isPermanent, entry.isTransient {
      let kind = DropIn.Kind.attach(driver: entry.settings.driver?.word ?? "auto", name: entry.name)
      try add(DropIn(device.address, kind), true, to: &plan.change)
      plan.change.remove(entry.location.file)
      plan.isRecordOnly = sessions[device.address].map { !$0.state.canStart } ?? false
      return plan
    }
    if isPermanent, entry.settings.start == .manual {
      throw ServiceError(
        .invalidState, device: address, message: "the entry at \(entry.location.short) says start = \"manual\"",
        hint: "change that there, or leave --permanent out")
    }
    if plan.change.isEmpty, let session = sessions[device.address],
      !session.state.canStart || session.assignment?.driver == nil
    {
      throw ServiceError(
        .alreadyAttached, device: address,
        message:
          "\(address) (\(session.name)) is attached already, by \(entry.location.short), and \(session.state.label)",
        hint: entry.isTransient
          ? "it lasts until the next boot; --permanent makes it last" : "bulkheadctl status \(session.name) shows it")
    }
    return plan
  }

  /// What is wrong with the call itself.
  private func check(_ parameters: Service.AttachParameters, _ device: PCIDevice) throws(ServiceError) {
    let address = "\(device.address)"
    if device.isBridge {
      let reasons = host.safety.refusals(for: device).map(Reason.init)
      throw ServiceError(
        .refused, device: address, message: reasons.first?.message ?? "\(address) is a bridge",
        hint: reasons.first?.hint ?? "", reasons: reasons)
    }
    if let name = parameters.name {
      if !DeviceEntry.isName(name) {
        throw ServiceError(
          .invalidName, device: address, message: "\"\(name)\" cannot be a name",
          hint: "lower-case letters, digits and hyphens, at most 32, beginning with a letter")
      }
      if let other = sessions.values.first(where: { $0.name == name && $0.address != device.address }) {
        throw ServiceError(
          .invalidName, device: address, message: "the name \"\(name)\" is that of \(other.address)",
          hint: "choose another")
      }
    }
    guard let driver = parameters.driver, driver != "auto", driver != "none" else { return }
    let (drivers, broken) = loader.loadDrivers()
    let known = drivers.map(\.manifest.name)
    guard !known.contains(driver) else { return }
    if broken.contains(where: { $0.name == driver }) {
      throw ServiceError(
        .noSuchDriver, device: address, message: "the driver \"\(driver)\" cannot be used: its manifest is broken",
        hint: "bulkheadctl drivers says what is wrong with it")
    }
    throw ServiceError(
      .noSuchDriver, device: address, message: "there is no driver \"\(driver)\"",
      hint: driver == "kernel"
        ? "to leave it to the kernel's own: bulkheadctl detach \(address)"
        : Suggestion.hint(for: driver, among: known + ["auto", "none"], what: "drivers"))
  }

  /// The removal of what a detach has written.
  private func liftedExemptions(_ device: PCIDevice, _ isPermanent: Bool) throws(ServiceError) -> DropInChange {
    let address = "\(device.address)"
    var change = DropInChange()
    for entry in configuration.entries where entry.isExemption && entry.match.fits(device) {
      guard dropIn(entry) != nil else {
        throw ServiceError(
          .invalidState, device: address, message: "the entry at \(entry.location.short) leaves it to the kernel",
          hint: "take that entry out, then: systemctl reload bulkhead")
      }
      guard entry.isTransient || isPermanent else {
        throw ServiceError(
          .invalidState, device: address, message: "it was detached for good: \(entry.location.file)",
          hint: "bulkheadctl attach \(address) --permanent takes that back")
      }
      change.remove(entry.location.file)
    }
    return change
  }

  /// The entry that would take the device if no other left it to the kernel.
  private func configuredEntry(_ device: PCIDevice, _ devices: [PCIDevice]) throws(ServiceError) -> DeviceEntry? {
    do throws(ConfigurationIssue) {
      return try configuration.takingAssignment(of: device, among: devices)?.entry
    } catch {
      throw ServiceError(
        .invalidConfiguration, device: "\(device.address)", message: error.message, hint: error.hint,
        issues: [Issue(error)])
    }
  }

  /// A configured device keeps what its entry says.
  private func compare(
    _ parameters: Service.AttachParameters, _ entry: DeviceEntry, _ address: String
  ) throws(ServiceError) {
    let driver = entry.settings.driver?.word ?? "auto"
    let present = sessions.values.first { "\($0.address)" == address }?.assignment?.driver?.manifest.name
    var differences: [String] = []
    if let wanted = parameters.driver, wanted != driver, wanted != present {
      differences.append("driver = \"\(driver)\"")
    }
    if let wanted = parameters.name, wanted != entry.name {
      differences.append(entry.name.map { "name = \"\($0)\"" } ?? "no name")
    }
    guard !differences.isEmpty else { return }
    throw ServiceError(
      .invalidState, device: address,
      message: "the entry at \(entry.location.short) says \(differences.joined(separator: " and "))",
      hint: entry.isTransient
        ? "bulkheadctl detach \(address) first"
        : "change it there, or leave the options out; then: systemctl reload bulkhead")
  }

  private func carryOut(
    _ plan: AttachPlan, _ device: PCIDevice, _ devices: [PCIDevice], _ takeBack: @escaping () -> Void,
    _ call: ServiceCall
  ) throws(ServiceError) {
    let assignment = try assignment(of: device, devices)
    let former = sessions[device.address]
    let session = former ?? makeSession(assignment)
    if let former { update(former, assignment) }
    session.controller.appeared()
    if assignment.driver == nil || plan.isRecordOnly { return try finishAttach(session, plan, call) }
    do throws(ServiceError) { try start(session, again: false) } catch {
      if former == nil { dismiss(session) }
      throw error
    }
    session.desired = .running
    session.whenSettled { [weak self] session in
      guard let self else { return }
      do throws(ServiceError) {
        if session.state == .running { return try self.finishAttach(session, plan, call) }
      } catch { return call.fail(error) }
      // Answered before it is forgotten: it knows why.
      self.answer(.attach, session, call)
      takeBack()
      if former == nil { self.dismiss(session) }
    }
  }

  private func finishAttach(_ session: DeviceSession, _ plan: AttachPlan, _ call: ServiceCall) throws(ServiceError) {
    try record(plan.change, for: "\(session.address)")
    session.log.notice("attached by user \(call.uid)\(plan.change.isEmpty ? "" : ", \(plan.change.summary)")")
    session.publish("configuration", "attached")
    call.reply(Service.DeviceReply(device: Device(session)))
  }

  /// - Throws: `NoSuchDriver` where none claims the device, or several do.
  private func assignment(of device: PCIDevice, _ devices: [PCIDevice]) throws(ServiceError) -> Assignment {
    do throws(ConfigurationIssue) {
      if let assignment = try configuration.assignment(of: device, among: devices) { return assignment }
    } catch {
      throw ServiceError(.noSuchDriver, device: "\(device.address)", message: error.message, hint: error.hint)
    }
    throw ServiceError(
      .invalidState, device: "\(device.address)", message: "\(device.address) cannot be attached",
      hint: "bulkheadctl config show says what the configuration comes to")
  }
}

extension DeviceSettings.Driver {
  /// As the configuration has it.
  var word: String {
    switch self {
    case .automatic: "auto"
    case .none: "none"
    case .kernel: "kernel"
    case .named(let name): name
    }
  }
}

extension DeviceLifecycle.State {
  /// A start leads somewhere from here.
  var canStart: Bool { DeviceLifecycle.machine.next(self, .start) != nil }
}

extension DropInChange {
  /// For the log.
  var summary: String {
    texts.sorted { $0.key < $1.key }.map { "\($1 == nil ? "removed" : "wrote") \($0)" }.joined(separator: ", ")
  }
}
