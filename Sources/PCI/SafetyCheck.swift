import Platform

/// Whether the interrupts of a device can be confined.
public enum InterruptRemapping: String, Sendable {
  case present
  case missing
  /// The kernel does not show it here; VFIO decides when the device is opened (EPERM).
  case unknown
}

/// Decides whether a device may be taken away from the kernel.
public struct SafetyCheck: Sendable {
  private let tree: KernelTree
  private let probe: any HostProbe

  public init(tree: KernelTree = KernelTree(), probe: any HostProbe = LiveProbe()) {
    self.tree = tree
    self.probe = probe
  }

  /// All reasons against it; empty if there is none. Those that `force` does not override come first.
  ///
  /// The members of the device's group are a question of their own: ``IOMMUGroup/refusal(claiming:)``.
  public func refusals(for device: PCIDevice) -> [Refusal] {
    if device.isBridge { return [bridge(device)] }
    return isolationRefusals(for: device) + BlockDeviceUse(tree: tree, probe: probe).refusals(for: device)
      + InterfaceUse(tree: tree, probe: probe).refusals(for: device)
  }

  /// The refusals that remain with the device's `force` setting.
  public func refusals(for device: PCIDevice, force: Bool) -> [Refusal] {
    refusals(for: device).filter { !force || !$0.overridable }
  }

  private func bridge(_ device: PCIDevice) -> Refusal {
    Refusal(
      code: "pci-bridge", message: "\(device.summary) is a \(device.className)",
      hint: "name the device behind it", overridable: false)
  }

  private func isolationRefusals(for device: PCIDevice) -> [Refusal] {
    var found: [Refusal] = []
    if isSet("module/vfio/parameters/enable_unsafe_noiommu_mode") {
      found.append(
        Refusal(
          code: "unsafe-noiommu", message: "VFIO works without an IOMMU (enable_unsafe_noiommu_mode)",
          hint: "echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode, and take it out of /etc/modprobe.d",
          overridable: false))
    }
    if device.iommuGroup == nil {
      found.append(
        Refusal(
          code: "iommu-missing", message: "\(device.summary) is not behind an IOMMU",
          hint: "switch on VT-d or AMD-Vi in the firmware; on Intel also boot with intel_iommu=on", overridable: false))
    } else if interruptRemapping() == .missing {
      found.append(
        Refusal(
          code: "interrupt-remapping-missing",
          message: "the IOMMU does not remap interrupts, so \(device.summary) could raise any interrupt",
          hint: "switch on interrupt remapping in the firmware (x2APIC), and do not boot with intremap=off",
          overridable: false))
    }
    if isSet("module/vfio_iommu_type1/parameters/allow_unsafe_interrupts") {
      found.append(
        Refusal(
          code: "unsafe-interrupts", message: "VFIO accepts missing interrupt remapping (allow_unsafe_interrupts)",
          hint: "echo N > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts, and take it out of "
            + "/etc/modprobe.d", overridable: false))
    }
    return found
  }

  /// By the names of the interrupt controllers.
  ///
  /// sysfs does not say it. On x86 the kernel names controllers behind a remapping unit `IR-IO-APIC` and `IR-PCI-MSI`
  /// (`arch/x86/kernel/apic/io_apic.c`, `msi.c`) and others `IO-APIC` and `PCI-MSI`; /proc/interrupts shows those in use,
  /// and each running PC has some. Other architectures have neither name.
  public func interruptRemapping() -> InterruptRemapping {
    guard let text = tree.procText("interrupts") else { return .unknown }
    var isX86 = false
    for line in text.split(separator: "\n") {
      for word in line.split(separator: " ") {
        if word.hasPrefix("IR-IO-APIC") || word.hasPrefix("IR-PCI-MSI") { return .present }
        if word.hasPrefix("IO-APIC") || word.hasPrefix("PCI-MSI") { isX86 = true }
      }
    }
    return isX86 ? .missing : .unknown
  }

  private func isSet(_ parameter: String) -> Bool {
    guard let value = tree.attribute(parameter) else { return false }
    return value == "Y" || value == "1"
  }
}
