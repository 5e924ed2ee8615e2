import Platform

/// Modules of the kernel that Bulkhead needs.
enum KernelModule {
  /// Loads what a device needs to be taken.
  /// - Returns: nil if it is there now.
  static func loadVFIO(sys: String) -> Failure? {
    let missing = ["vfio-pci", "vfio_iommu_type1"].compactMap { load($0, sys: sys) }
    if FileText.exists("\(sys)/bus/pci/drivers/vfio-pci") { return nil }
    return Failure("vfio-missing", "find the driver vfio-pci", hint: missing.first ?? "modprobe vfio-pci")
  }

  /// Loads a module, if it is not there, through modprobe(8).
  /// - Returns: nil if it is there now, else what an administrator can do.
  static func load(_ name: String, sys: String = "/sys") -> String? {
    let directory = "\(sys)/module/\(name.map { $0 == "-" ? "_" : String($0) }.joined())"
    if FileText.exists(directory) { return nil }
    for modprobe in ["/sbin/modprobe", "/usr/sbin/modprobe"] where FileText.isExecutable(modprobe) {
      let end = try? ChildProcess.run(modprobe, ["-q", name])
      if end == ProcessEnd(status: 0, isKilled: false) { return nil }
    }
    // It may be built in under a name that /sys/module does not show.
    return FileText.exists(directory) ? nil : "load it by hand: modprobe \(name); the kernel's package may lack it"
  }
}
