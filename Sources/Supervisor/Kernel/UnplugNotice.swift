import PCI

/// VFIO's words for "the kernel wants this device back": `vfio_pci_core_request` in drivers/vfio/pci/vfio_pci_core.c.
///
/// The removal of a device waits until all its VFIO files are closed, so it must be heard of before its uevent comes.
enum UnplugNotice {
  /// The device that is to go; nil for any other line of the kernel's log.
  static func device(in line: String) -> PCIAddress? {
    guard line.hasPrefix("vfio-pci "),
      line.contains("No device request channel registered") || line.contains("Relaying device request to user"),
      let colon = line.firstRange(of: ": ")
    else { return nil }
    return PCIAddress(String(line[..<colon.lowerBound].dropFirst("vfio-pci ".count)))
  }
}
