import CBulkhead
import PCI
import Platform

/// Taking a device, and giving it back.
extension DeviceSession {
  func prepare() -> PrepareOutcome {
    do throws(Failure) {
      let devices = try host.bus.devices()
      guard let device = devices.first(where: { $0.address == address }) else {
        throw Failure("pci-no-device", "find \(address)")
      }
      self.device = device
      let refusals = refusals(for: device, among: devices)
      guard refusals.isEmpty else {
        // An earlier supervisor may have left it bound.
        if !record.bindings.isEmpty, let failure = release(isGone: false) { return .failed(failure) }
        return .refused(refusals)
      }
      try take(device, among: devices)
      return .ready
    } catch {
      report(error)
      if let undone = release(isGone: false) { report(undone) }
      return .failed(error)
    }
  }

  private func refusals(for device: PCIDevice, among devices: [PCIDevice]) -> [Refusal] {
    let force = controller.settings.force
    var refusals = host.safety.refusals(for: device, force: force)
    guard let group = IOMMUGroup(of: device, among: devices) else { return refusals }
    let held = host.heldMembers(group.number)
    for member in group.members where member.address != address && held.contains(member.address) {
      refusals += host.safety.refusals(for: member, force: force)
    }
    if let owner = host.groupOwner(group.number, address) {
      refusals.append(
        Refusal(
          code: "group-taken", message: "\(owner) has IOMMU group \(group.number) already",
          hint: "devices of one group cannot have drivers of their own: give one of them driver = \"none\"",
          overridable: false))
    }
    if let refusal = group.refusal(claiming: held.union([address])) { refusals.append(refusal) }
    return refusals
  }

  private func take(_ device: PCIDevice, among devices: [PCIDevice]) throws(Failure) {
    let missing = ["vfio-pci", "vfio_iommu_type1"].compactMap { KernelModule.load($0) }
    if !FileText.exists("/sys/bus/pci/drivers/vfio-pci") {
      throw Failure("vfio-missing", "find the driver vfio-pci", hint: missing.first ?? "modprobe vfio-pci")
    }
    if controller.settings.outlet.kernel == .required { try KernelBlockOutlet.require() }
    if controller.settings.outlet.kernel == .ifPresent { _ = KernelModule.load("nbd") }
    try bind(device, among: devices)
    if let groups = host.groups {
      try groups.make("\(address)", limits: controller.settings.limits)
      for complaint in groups.complaints { log.warning("\(complaint)") }
    }
    if controller.settings.outlet.socket { try listen() }
    if outlet == nil { outlet = makeOutlet() }
  }

  private func bind(_ device: PCIDevice, among devices: [PCIDevice]) throws(Failure) {
    let held = device.iommuGroup.map { host.heldMembers($0) } ?? []
    let members = IOMMUGroup(of: device, among: devices)?.bindable ?? [device]
    let wanted = members.map(\.address).filter { $0 == address || held.contains($0) }
    // A record that is there already is the truth: by now vfio-pci looks like the device's own driver.
    var bindings = record.bindings.filter { wanted.contains($0.address) }
    for member in wanted where !bindings.contains(where: { $0.address == member }) {
      bindings.append(try host.binder.prepare(member))
    }
    record.bindings = bindings
    try host.state.save(record)
    try host.binder.bindAll(bindings)
    let names = bindings.map { "\($0.address) (former driver: \($0.formerDriver ?? "none"))" }
    log.info("bound to vfio-pci: \(names.joined(separator: ", "))")
  }

  var socketPath: String { "\(host.paths.outletSockets)/\(name).sock" }

  private func listen() throws(Failure) {
    guard listener == nil else { return }
    let error = FileText.makeDirectories(host.paths.outletSockets)
    guard error == 0 else { throw Failure("outlet-socket", "make \(host.paths.outletSockets)", errno: error) }
    listener = try checked(
      bh_unix_listen(socketPath, 0o660, host.socketGroup), "outlet-socket", "listen on \(socketPath)")
  }

  func release(isGone: Bool) -> Failure? {
    closeOutlet()
    outlet = nil
    units = []
    counters = nil
    if let file = listener {
      Descriptor.close(file)
      listener = nil
      FileText.remove(socketPath)
    }
    host.groups?.remove("\(address)")
    var first: Failure?
    for binding in record.bindings where !(isGone && binding.address == address) {
      do throws(Failure) {
        try host.binder.release(binding)
        log.info("given back: \(binding.address) (\(binding.formerDriver ?? "no driver"))")
      } catch {
        report(error)
        first = first ?? error
      }
    }
    // The record of what could not be given back stays, for the next try.
    guard first == nil else { return first }
    record = StateRecord(address: address)
    host.state.remove(address)
    return nil
  }
}
