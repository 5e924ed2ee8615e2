import CBulkhead
import Glibc
import Platform

/// A device file of VFIO: regions, configuration space and reset. Interrupts are in `VFIODevice+Interrupts.swift`.
public final class VFIODevice {
  /// `0000:01:00.0`.
  public let address: String
  /// How many regions and interrupt indexes the kernel knows for this device.
  let regionCount: UInt32
  let interruptIndexCount: UInt32
  private let canReset: Bool
  private var descriptor: Int32
  private let config: ConfigSpace
  private var regionInfos: [RegionInfo] = []
  private var msix: MSIXStructure?
  /// How many vectors are wired, for each kind.
  var wired: [InterruptKind: Int] = [:]

  /// - Throws: `vfio-device-info`, `vfio-region`, `vfio-config`.
  public init(owning file: consuming Descriptor, address: String) throws(Failure) {
    var info = vfio_device_info()
    try checked(bh_vfio_device_info(file.number, &info), "vfio-device-info", "ask \(address) what it is")
    guard info.flags & UInt32(VFIO_DEVICE_FLAGS_PCI) != 0, info.num_regions > UInt32(VFIO_PCI_CONFIG_REGION_INDEX)
    else {
      throw Failure("vfio-device-info", "\(address) is not a PCI device to VFIO")
    }
    let configRegion = try VFIODevice.regionInfo(file.number, UInt32(VFIO_PCI_CONFIG_REGION_INDEX), address)
    guard configRegion.size >= 256, configRegion.fileOffset <= UInt64(Int64.max) - configRegion.size else {
      throw Failure("vfio-region", "\(address) has \(configRegion.size) bytes of configuration space")
    }
    var infos: [RegionInfo] = []
    for bar in UInt32(VFIO_PCI_BAR0_REGION_INDEX)...UInt32(VFIO_PCI_BAR5_REGION_INDEX) {
      infos.append(try VFIODevice.regionInfo(file.number, bar, address))
    }
    self.address = address
    regionCount = info.num_regions
    interruptIndexCount = info.num_irqs
    canReset = info.flags & UInt32(VFIO_DEVICE_FLAGS_RESET) != 0
    regionInfos = infos
    config = ConfigSpace(file: file.number, fileOffset: configRegion.fileOffset, size: configRegion.size)
    descriptor = file.release()
    let config = self.config
    msix = try MSIXStructure.find { (offset, width) throws(Failure) in try config.read(offset: offset, width: width) }
  }

  deinit { close() }

  /// The file number, or -1 after ``close()``.
  public var file: Int32 { descriptor }

  private static func regionInfo(_ file: Int32, _ index: UInt32, _ address: String) throws(Failure) -> RegionInfo {
    let step = "ask \(address) for region \(index)"
    let info = try RegionInfo(
      parsing: InfoBuffer.read(initial: 256, code: "vfio-region", step: step) {
        bh_vfio_region_info(file, index, $0, $1)
      })
    guard info.index == index else { throw Failure("vfio-region", "\(step): got region \(info.index)") }
    return info
  }

  /// The BARs that exist.
  public var regions: [DeviceRegion] { regionInfos.filter { $0.size > 0 }.map(DeviceRegion.init) }

  /// See ``DeviceBacking/mappableRanges(bar:)``.
  /// - Throws: `vfio-region` when there is no such BAR.
  public func mappableRanges(bar: Int) throws(Failure) -> [MappableRange] {
    guard regionInfos.indices.contains(bar), regionInfos[bar].size > 0 else {
      throw Failure("vfio-region", "\(address) has no BAR \(bar)")
    }
    return BarLayout.mappableRanges(
      regionInfos[bar], holes: msix?.holes(bar: bar) ?? [], pageSize: UInt64(pageSize))
  }

  /// Reads configuration space. The kernel shows a virtual copy of some registers (BARs, MSI).
  /// - Throws: `vfio-config`.
  public func readConfig(offset: Int, width: ConfigWidth) throws(Failure) -> UInt32 {
    try opened()
    return try config.read(offset: offset, width: width)
  }

  /// - Throws: `vfio-config`.
  public func writeConfig(offset: Int, width: ConfigWidth, value: UInt32) throws(Failure) {
    try opened()
    try config.write(offset: offset, width: width, value: value)
  }

  /// - Throws: `vfio-config` also when the bit does not read back.
  public func setBusMaster(_ enabled: Bool) throws(Failure) {
    try opened()
    try config.setCommand(ConfigSpace.Command.busMaster, enabled)
  }

  /// - Throws: `vfio-config` also when the bit does not read back.
  public func setMemoryEnable(_ enabled: Bool) throws(Failure) {
    try opened()
    try config.setCommand(ConfigSpace.Command.memoryEnable, enabled)
  }

  /// Resets the function by the kernel's choice of method (FLR, PM, bus).
  ///
  /// The kernel only tries the device's lock and says EAGAIN when somebody else (a sysfs write, AER) holds it, so that is
  /// tried again for half a second.
  /// - Throws: `vfio-no-reset`, `vfio-reset`.
  public func reset() throws(Failure) {
    try opened()
    guard canReset else {
      throw Failure(
        "vfio-no-reset", "reset \(address)", hint: "the device has no reset method of its own (FLR, PM, bus)")
    }
    var result = bh_vfio_reset(descriptor)
    var attempts = 50
    while result == -EAGAIN, attempts > 0 {
      usleep(10_000)
      attempts -= 1
      result = bh_vfio_reset(descriptor)
    }
    try checked(result, "vfio-reset", "reset \(address)")
  }

  /// The devices that a reset of the whole slot or bus would hit, this one included.
  /// - Throws: `vfio-hot-reset-info`; ENODEV when the bus cannot be reset.
  public func hotResetPeers() throws(Failure) -> [HotResetPeer] {
    try opened()
    // The kernel wants room for all at once: 256 functions behind one bus is the most there can be without ARI nesting.
    var bytes = [UInt8](repeating: 0, count: HotResetPeer.fixedSize + 256 * HotResetPeer.size)
    let result = bytes.withUnsafeMutableBytes {
      bh_vfio_hot_reset_info(descriptor, $0.baseAddress!, UInt32($0.count))
    }
    try checked(result, "vfio-hot-reset-info", "ask which devices a bus reset of \(address) hits")
    return try HotResetPeer.parse(bytes)
  }

  func opened() throws(Failure) {
    guard descriptor >= 0 else { throw Failure("vfio-closed", "use \(address) after it was closed", errno: EBADF) }
  }

  /// Closes the file; the kernel switches off what is left. May be called again.
  public func close() {
    guard descriptor >= 0 else { return }
    _ = Glibc.close(descriptor)
    descriptor = -1
  }
}

/// A device that shares a bus reset with another one.
public struct HotResetPeer: Sendable, Equatable {
  /// Bytes of `struct vfio_pci_hot_reset_info` and of `struct vfio_pci_dependent_device`.
  static let fixedSize = 12
  static let size = 8

  /// Its IOMMU group.
  public var group: UInt32
  public var domain: UInt16
  public var bus: UInt8
  /// 0...31.
  public var device: UInt8
  /// 0...7.
  public var function: UInt8

  static func parse(_ bytes: [UInt8]) throws(Failure) -> [HotResetPeer] {
    guard bytes.count >= fixedSize, bytes.holds(bytes.u32(8), of: size, at: fixedSize) else {
      throw Failure("vfio-hot-reset-info", "read the devices of a bus reset: truncated")
    }
    return (0..<Int(bytes.u32(8))).map { number in
      let at = fixedSize + size * number
      let devfn = bytes[at + 7]
      return HotResetPeer(
        group: bytes.u32(at), domain: bytes.u16(at + 4), bus: bytes[at + 6], device: devfn >> 3, function: devfn & 7)
    }
  }
}
