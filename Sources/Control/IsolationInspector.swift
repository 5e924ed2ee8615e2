import PCI
import Platform

/// Looks at how a device could be isolated. Changes nothing; the daemon and `bulkheadctl check` both use it.
public struct IsolationInspector {
  private let bus: PCIBus
  private let safety: SafetyCheck

  public init(tree: KernelTree = KernelTree()) {
    bus = PCIBus(tree: tree)
    safety = SafetyCheck(tree: tree)
  }

  /// One check for each PCI function that is no bridge, in the order of addresses; bridges only where named.
  /// - Parameters:
  ///   - address: the only device to look at.
  ///   - claimed: devices that the configuration names: as members of a group they block nothing.
  ///   - drivers: names of the Bulkhead drivers that claim a device; nil: not known.
  /// - Throws: `pci-scan`, `pci-no-device`.
  public func checks(
    of address: PCIAddress? = nil, claimed: Set<PCIAddress> = [], drivers: (PCIDevice) -> [String]? = { _ in nil }
  ) throws(Failure) -> [IsolationCheck] {
    let all = try bus.devices()
    var chosen = all.filter { !$0.isBridge }
    if let address { chosen = [try bus.device(at: address)] }
    return chosen.map { check($0, among: all, claimed: claimed, drivers: drivers($0)) }
  }

  private func check(
    _ device: PCIDevice, among all: [PCIDevice], claimed: Set<PCIAddress>, drivers: [String]?
  ) -> IsolationCheck {
    let remapping = safety.interruptRemapping()
    var check = IsolationCheck(
      address: device.address.description, vendorID: hexadecimal(device.vendorID),
      deviceID: hexadecimal(device.deviceID), vendor: device.vendorName, model: device.deviceName,
      className: device.className, interruptRemapping: remapping.words)
    check.kernelDriver = device.driver
    check.group = device.iommuGroup
    check.resetMethods = resetMethods(of: device)
    check.drivers = drivers
    check.bridges = bus.isolation(of: device, among: all).map(\.description)
    check.blockers = safety.refusals(for: device).map(Reason.init)
    if let group = IOMMUGroup(of: device, among: all) {
      check.groupMembers = group.members.filter { $0.address != device.address }.map(\.summary)
      if let refusal = group.refusal(claiming: claimed.union([device.address])) {
        check.blockers.append(Reason(refusal))
      }
    }
    check.isolatable = check.blockers.isEmpty
    check.notes = notes(device, check)
    return check
  }

  private func resetMethods(of device: PCIDevice) -> [String] {
    if !device.resetMethods.isEmpty { return device.resetMethods }
    return device.capabilities.hasFunctionLevelReset ? ["flr"] : []
  }

  private func notes(_ device: PCIDevice, _ check: IsolationCheck) -> [String] {
    var notes: [String] = []
    if check.resetMethods.isEmpty, !device.isBridge {
      notes.append(
        "the device has no reset of its own: what a driver left in it stays when the next one starts")
    }
    if check.blockers.contains(where: \.overridable) {
      notes.append("'force = true' in this device's configuration takes it although it is in use; that loses data")
    }
    if device.capabilities.isTruncated {
      notes.append("only part of its configuration space could be read: run as root for the whole answer")
    }
    if check.drivers?.isEmpty == true, !device.isBridge {
      notes.append("no installed driver claims it")
    }
    return notes
  }
}

extension Reason {
  public init(_ refusal: Refusal) {
    self.init(code: refusal.code, message: refusal.message, hint: refusal.hint, overridable: refusal.overridable)
  }
}

extension InterruptRemapping {
  /// For people.
  fileprivate var words: String {
    switch self {
    case .present: "on"
    case .missing: "missing"
    case .unknown: "unknown (the kernel does not say; VFIO decides when the device is opened)"
    }
  }
}

/// Four hexadecimal digits.
public func hexadecimal(_ value: UInt16) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: 4 - text.count) + text
}
