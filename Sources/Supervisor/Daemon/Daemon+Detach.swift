import Control
import PCI
import Platform

/// Detach: a device becomes the kernel's own again, whatever the configuration says of it.
extension Daemon {
  func detach(_ parameters: Service.DetachParameters, _ call: ServiceCall) {
    do throws(ServiceError) {
      let devices = try presentDevices()
      let address = try locateAddress(parameters.device ?? "", devices)
      let isPermanent = parameters.permanent ?? false
      let change = try planDetach(address, devices, isPermanent)
      let session = sessions[address]
      if let session {
        try makeSureIsNotHeldInUse(session)
        if !(parameters.force ?? false) { try makeSureIsNotInUse(session) }
      }
      let takeBack = try putInForce(change, for: "\(address)", mustBeRight: isPermanent)
      guard let session else { return try finishDetach(address, change, call) }
      dismiss(session) { [weak self] in
        guard let self else { return }
        do throws(ServiceError) {
          if session.state.isFree { return try self.finishDetach(address, change, call) }
        } catch { return call.fail(error) }
        takeBack()
        self.answer(.detach, session, call)
      }
    } catch { call.fail(error) }
  }

  /// What a detach changes in the drop-ins.
  private func planDetach(
    _ address: PCIAddress, _ devices: [PCIDevice], _ isPermanent: Bool
  ) throws(ServiceError) -> DropInChange {
    if sessions[address]?.assignment?.entry.emulated != nil {
      throw ServiceError(
        .invalidState, device: "\(address)", message: "\(address) is emulated: the kernel has no driver for it",
        hint: "bulkheadctl stop \(address) ends it")
    }
    let device = devices.first { $0.address == address }
    let exemptions = configuration.entries.filter { entry in
      entry.isExemption && (device.map { entry.match.fits($0) } ?? (entry.match.address == address))
    }
    let entry: DeviceEntry? =
      if let device {
        (try? configuration.takingAssignment(of: device, among: devices))?.entry
      } else {
        configuration.entries.first { !$0.isExemption && $0.match.address == address }
      }
    if let lasting = exemptions.first(where: { !$0.isTransient || !isPermanent }) {
      throw ServiceError(
        .notConfigured, device: "\(address)",
        message: "\(address) is the kernel's already, by \(lasting.location.short)",
        hint: isPermanent || !lasting.isTransient ? "" : "it lasts until the next boot; --permanent makes it last")
    }
    guard let entry else { throw notConfigured("\(address)", device) }
    var change = DropInChange()
    for exemption in exemptions where dropIn(exemption) != nil { change.remove(exemption.location.file) }
    if let own = dropIn(entry), own.kind != .detach, entry.isTransient || isPermanent {
      change.remove(entry.location.file)
    } else {
      try add(DropIn(address, .detach), isPermanent && !entry.isTransient, to: &change)
    }
    return change
  }

  /// A device that is only held must not go to a kernel driver while its group is somebody's.
  private func makeSureIsNotHeldInUse(_ session: DeviceSession) throws(ServiceError) {
    guard session.isHeld, let group = session.source.iommuGroup,
      let owner = host.groupOwner(group, session.address)
    else { return }
    throw ServiceError(
      .inUse, device: "\(session.address)",
      message: "\(session.address) is held for \(owner), which shares IOMMU group \(group) with it",
      hint: "detach or stop that one first")
  }

  private func makeSureIsNotInUse(_ session: DeviceSession) throws(ServiceError) {
    let uses = session.outlet?.uses() ?? []
    guard !uses.isEmpty else { return }
    throw ServiceError(
      .inUse, device: "\(session.address)", message: uses.joined(separator: "; "),
      hint: "unmount it first, or detach it with --force and lose what is not written yet")
  }

  private func finishDetach(_ address: PCIAddress, _ change: DropInChange, _ call: ServiceCall) throws(ServiceError) {
    try record(change, for: "\(address)")
    log.notice("\(address): detached by user \(call.uid), \(change.summary)")
    publish(
      Service.Event(
        time: WallClock.seconds(), kind: "configuration", address: "\(address)", name: nil, state: nil, text: "detached"
      ))
    if let device = try? host.bus.device(at: address) {
      return call.reply(Service.DeviceReply(device: Device(device, exemption: configuration.exemption(of: device))))
    }
    call.reply(
      Service.DeviceReply(
        device: Device(
          address: "\(address)", vendorID: "", deviceID: "", vendor: "", model: "", className: "", state: "absent")))
  }
}

/// What attach and detach share.
extension Daemon {
  func presentDevices() throws(ServiceError) -> [PCIDevice] {
    guard !isStopping else { throw ServiceError(.invalidState, device: "", message: "bulkheadd is stopping") }
    do throws(Failure) { return try host.bus.devices() } catch {
      throw ServiceError(.failed, device: "", message: error.oneLine, hint: error.hint)
    }
  }

  /// By address, full or short, or by a name that the configuration gives; also of a device that is left to the kernel.
  func locateAddress(_ text: String, _ devices: [PCIDevice]) throws(ServiceError) -> PCIAddress {
    if let session = sessions.values.first(where: { $0.name == text }) { return session.address }
    if let address = PCIAddress(text) {
      if sessions[address] != nil || devices.contains(where: { $0.address == address }) { return address }
      throw noSuchDevice(text)
    }
    for device in devices where configuration.exemption(of: device) != nil {
      let assignment = try? configuration.takingAssignment(of: device, among: devices)
      if assignment?.name == text { return device.address }
    }
    throw noSuchDevice(text)
  }

  /// - Throws: `NoSuchDevice`; `InvalidState` for one that is not on the bus, or is emulated and runs.
  func locate(_ text: String, _ devices: [PCIDevice]) throws(ServiceError) -> PCIDevice {
    let address = try locateAddress(text, devices)
    if let device = devices.first(where: { $0.address == address }) { return device }
    let name = sessions[address]?.name ?? "\(address)"
    if sessions[address]?.assignment?.entry.emulated != nil {
      throw ServiceError(
        .alreadyAttached, device: "\(address)", message: "\(address) (\(name)) is emulated: nothing else can have it",
        hint: "bulkheadctl start \(name) starts it where it is stopped")
    }
    throw ServiceError(
      .invalidState, device: "\(address)", message: "\(address) (\(name)) is not there",
      hint: "plug it in; it starts by itself then")
  }

  func notConfigured(_ text: String, _ device: PCIDevice?) -> ServiceError {
    ServiceError(
      .notConfigured, device: text, message: "Bulkhead does not have \(device?.summary ?? text)",
      hint: "bulkheadctl list shows what it has")
  }

  /// The entry as attach or detach have written it; nil where somebody else has, or has edited it.
  func dropIn(_ entry: DeviceEntry) -> DropIn? {
    // One that is about to be written counts already.
    let text = loader.pending[entry.location.file] ?? FileText.contents(entry.location.file)
    return text.flatMap { DropIn(entry, text: $0) }
  }

  /// Adds a drop-in that is not there yet.
  /// - Throws: `InvalidState` where somebody has put something else in its place, or there is no folder for it.
  func add(_ dropIn: DropIn, _ isPermanent: Bool, to change: inout DropInChange) throws(ServiceError) {
    let device = "\(dropIn.address)"
    guard let directory = isPermanent ? loader.directory : loader.runtimeDirectory else {
      throw ServiceError(
        .invalidState, device: device, message: "this bulkheadd has no folder for drop-ins",
        hint: "it was started with --emulated; give it --config and --config-dir")
    }
    let path = dropIn.path(in: directory)
    guard !FileText.exists(path) else {
      throw ServiceError(
        .invalidState, device: device, message: "\(path) is there already, and says something else",
        hint: "put it in force (systemctl reload bulkhead), or take it away")
    }
    change.write(dropIn, in: directory)
  }
}
