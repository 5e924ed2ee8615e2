import Control
import PCI
import Platform
import Protocol

/// A PCI function of this machine, bound to vfio-pci while it is taken.
final class FunctionSource: DeviceSource {
  private unowned let session: DeviceSession
  private var device: PCIDevice?
  private var others: [PCIDevice] = []

  /// - Parameter device: nil while a device that the configuration names by address has never been seen.
  init(of session: DeviceSession, device: PCIDevice?) {
    self.session = session
    self.device = device
  }

  private var host: Host { session.host }
  private var address: PCIAddress { session.address }

  var isPresent: Bool { device != nil }
  var iommuGroup: Int? { device?.iommuGroup }
  var isLeftTaken: Bool { !session.record.bindings.isEmpty }

  /// All ones where the vendor's id should be, or no such device: it was pulled out.
  var isGone: Bool {
    let path = "/sys/bus/pci/devices/\(address)/config"
    guard let bytes = FileText.firstBytes(2, of: path) else { return !FileText.exists(path) }
    return bytes == [0xff, 0xff]
  }

  func update(_ hardware: Hardware) {
    if case .function(let device) = hardware { self.device = device }
  }

  func claim() throws(Failure) -> [Refusal] {
    others = try host.bus.devices()
    guard let device = others.first(where: { $0.address == address }) else {
      throw Failure("pci-no-device", "find \(address)")
    }
    self.device = device
    let force = session.controller.settings.force
    var refusals = host.safety.refusals(for: device, force: force)
    guard let group = IOMMUGroup(of: device, among: others) else { return refusals }
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

  func take(_ done: @escaping (Failure?) -> Void) {
    guard let device else { return done(Failure("pci-no-device", "find \(address)")) }
    let held = device.iommuGroup.map { host.heldMembers($0) } ?? []
    let members = IOMMUGroup(of: device, among: others)?.bindable ?? [device]
    let wanted = members.map(\.address).filter { $0 == address || held.contains($0) }
    // A record that is there already is the truth: by now vfio-pci looks like the device's own driver.
    let known = session.record.bindings.filter { wanted.contains($0.address) }
    let unknown = wanted.filter { address in !known.contains { $0.address == address } }
    guard !unknown.isEmpty else { return bind(known, done) }
    submit(BindingOrder(preparing: unknown)) { [weak self] answer in
      if let failure = answer.failures.first { return done(failure) }
      self?.bind(known + answer.records, done)
    }
  }

  /// Binds them once there is a record of how they were.
  private func bind(_ bindings: [BindingRecord], _ done: @escaping (Failure?) -> Void) {
    session.record.bindings = bindings
    do throws(Failure) { try host.state.save(session.record) } catch { return done(error) }
    submit(BindingOrder(.bind, bindings)) { [weak self] answer in
      if answer.failures.isEmpty {
        let names = bindings.map { "\($0.address) (former driver: \($0.formerDriver ?? "none"))" }
        self?.session.log.info("bound to vfio-pci: \(names.joined(separator: ", "))")
      }
      done(answer.failures.first)
    }
  }

  func release(isGone: Bool, _ done: @escaping (Failure?) -> Void) {
    let bindings = session.record.bindings.filter { !(isGone && $0.address == address) }
    guard !bindings.isEmpty else { return done(nil) }
    submit(BindingOrder(.release, bindings)) { [weak self] answer in
      for binding in answer.records {
        self?.session.log.info("given back: \(binding.address) (\(binding.formerDriver ?? "no driver"))")
      }
      for failure in answer.failures { self?.session.report(failure) }
      done(answer.failures.first)
    }
  }

  private func submit(_ order: BindingOrder, _ done: @escaping (BindingAnswer) -> Void) {
    host.bindings.submit(order, slow: { [weak self] in self?.session.tell("binding", .warning, $0) }, done: done)
  }

  var brokerName: String { "bulkhead-broker" }
  var brokerFiles: [Int32] { [] }

  func complete(_ configuration: inout BrokerConfiguration) throws(Failure) {
    guard let group = device?.iommuGroup else { throw Failure("pci-no-group", "find the IOMMU group of \(address)") }
    configuration.group = UInt32(group)
  }

  func description(state: String) -> Device {
    guard var device else {
      return Device(
        address: "\(address)", vendorID: "", deviceID: "", vendor: "", model: "", className: "", state: state)
    }
    // Which kernel driver a device has changes without telling us.
    device.driver = host.tree.linkName("bus/pci/devices/\(address)/driver")
    return Device(device, state: state)
  }

  var isolation: IsolationCheck? { nil }
}
