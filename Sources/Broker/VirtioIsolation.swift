import CBulkhead
import Platform
import VFIO

/// Whether a virtio device's memory accesses go through the IOMMU.
///
/// Those of other devices do, whatever they say. A virtio device may be a part of the hypervisor, which reads and writes the
/// machine's memory directly unless VIRTIO_F_ACCESS_PLATFORM is negotiated (virtio 1.2 section 6). A driver of ours would
/// refuse a device that does not offer it; a hostile one would use it to reach everything. So it is the broker that looks.
enum VirtioIsolation {
  /// Transitional and modern devices: virtio 1.2 section 4.1.2.
  private static let devices: ClosedRange<UInt32> = 0x1000...0x107F
  private static let commonStructure: UInt32 = 1
  /// `device_feature_select` and `device_feature` of the common structure, section 4.1.4.3.
  private static let featureSelect = 0
  private static let feature = 4
  private static let length = 8
  /// VIRTIO_F_ACCESS_PLATFORM, bit 33.
  private static let accessPlatform: UInt32 = 1 << 1

  /// - Throws: ``Failure`` `broker-isolation` for a virtio device that does not offer it; any of the backing.
  static func check(_ backing: any DeviceBacking) throws(Failure) {
    guard try backing.readConfig(offset: 0x00, width: .word) == ConfigPolicy.virtioVendor,
      devices.contains(try backing.readConfig(offset: 0x02, width: .word))
    else { return }
    let step = "isolate \(backing.address)"
    guard let (offset, range) = try findCommon(backing) else {
      throw Failure(
        "broker-isolation", step, hint: "a virtio device without the modern interface is not behind the IOMMU")
    }
    try backing.setMemoryEnable(true)
    let offered = try readFeatures(backing, range, at: offset)
    try backing.setMemoryEnable(false)
    guard offered & accessPlatform != 0 else {
      throw Failure(
        "broker-isolation", step,
        hint: "the device does not offer VIRTIO_F_ACCESS_PLATFORM: its DMA would go past the IOMMU "
          + "(QEMU: iommu_platform=on)")
    }
  }

  /// The first common structure in a BAR that can be mapped: its place in the BAR, and the range in which it is.
  private static func findCommon(_ backing: any DeviceBacking) throws(Failure) -> (Int, MappableRange)? {
    let list = try CapabilityList.standard { offset, width throws(Failure) in
      try backing.readConfig(offset: offset, width: width)
    }
    for capability in list where capability.id == UInt16(ConfigPolicy.vendorSpecific) {
      guard try backing.readConfig(offset: capability.offset + 3, width: .byte) == commonStructure else { continue }
      let bar = Int(try backing.readConfig(offset: capability.offset + 4, width: .byte))
      let offset = UInt64(try backing.readConfig(offset: capability.offset + 8, width: .dword))
      guard offset % 4 == 0, backing.regions.contains(where: { $0.bar == bar }) else { continue }
      for range in try backing.mappableRanges(bar: bar)
      where offset >= range.offset && offset + UInt64(length) <= range.offset + range.length {
        return (Int(offset), range)
      }
    }
    return nil
  }

  private static func readFeatures(
    _ backing: any DeviceBacking, _ range: MappableRange, at offset: Int
  ) throws(Failure) -> UInt32 {
    let mapping = try MappedMemory(file: backing.deviceFile, offset: range.fileOffset, length: Int(range.length))
    let structure = mapping.base + (offset - Int(range.offset))
    // Bits 63 to 32.
    bh_mmio_write32(structure + featureSelect, 1)
    let features = bh_mmio_read32(structure + feature)
    // A device that is gone has no features.
    return features == .max ? 0 : features
  }
}
