import CBulkhead
import Glibc
import Platform

/// A VFIO container: one IOMMU domain (type1v2).
public final class VFIOContainer {
  private var descriptor: Int32
  private var mappings: [UInt64: UInt64] = [:]
  private var limits: IOMMUInfo?

  /// Opens `/dev/vfio/vfio`.
  /// - Throws: `vfio-open`, `vfio-version`, `vfio-no-type1`.
  public convenience init(path: String = "/dev/vfio/vfio") throws(Failure) {
    let file = open(path, O_RDWR | O_CLOEXEC)
    guard file >= 0 else {
      throw Failure(
        "vfio-open", "open \(path)", errno: errno,
        hint: errno == ENOENT ? "load the module: modprobe vfio-pci" : "the broker needs read and write access to it")
    }
    try self.init(owning: Descriptor(owning: file))
  }

  /// Takes over a container that somebody else has opened.
  public init(owning file: consuming Descriptor) throws(Failure) {
    let version = try checked(
      bh_vfio_api_version(file.number), "vfio-version", "ask the VFIO container for its version")
    guard version == VFIO_API_VERSION else {
      throw Failure("vfio-version", "VFIO API version \(version), expected \(VFIO_API_VERSION)")
    }
    let hasType1 = bh_vfio_check_extension(file.number, UInt(VFIO_TYPE1v2_IOMMU))
    guard hasType1 > 0 else {
      throw Failure(
        "vfio-no-type1", "check the VFIO container for a type1v2 IOMMU", errno: hasType1 < 0 ? -hasType1 : 0,
        hint: "load the module: modprobe vfio_iommu_type1")
    }
    descriptor = file.release()
  }

  deinit { close() }

  /// The file number, or -1 after ``close()``.
  public var file: Int32 { descriptor }

  /// Makes the IOMMU domain. Needs at least one group in the container.
  /// - Throws: `vfio-set-iommu`; EPERM means that the platform does not remap interrupts.
  public func setIOMMU() throws(Failure) {
    let result = bh_vfio_set_iommu(descriptor, UInt(VFIO_TYPE1v2_IOMMU))
    try checked(
      result, "vfio-set-iommu", "make a type1v2 IOMMU domain",
      hint: result == -EPERM
        ? "interrupt remapping is missing: switch it on in the firmware, and do not set allow_unsafe_interrupts" : "")
    limits = try info()
  }

  /// Page sizes, usable addresses, free mappings. Valid after ``setIOMMU()``.
  /// - Throws: `vfio-iommu-info`.
  public func info() throws(Failure) -> IOMMUInfo {
    let file = descriptor
    return try IOMMUInfo(
      parsing: InfoBuffer.read(initial: 256, code: "vfio-iommu-info", step: "ask for the IOMMU's limits") {
        bh_vfio_iommu_info(file, $0, $1)
      })
  }

  /// Lets the device reach `size` bytes at `address` under `iova`. The memory is pinned.
  /// - Throws: `vfio-map`; ENOMEM usually means RLIMIT_MEMLOCK.
  public func mapDMA(
    iova: UInt64, address: UnsafeMutableRawPointer, size: UInt64, access: DMAAccess = .both
  ) throws(Failure) {
    let step = "map \(size) bytes at IOVA 0x\(String(iova, radix: 16))"
    let mask = (limits?.smallestPage ?? 4096) - 1
    guard size > 0, (iova | size | UInt64(UInt(bitPattern: address))) & mask == 0 else {
      throw Failure("vfio-map", "\(step): not a multiple of the IOMMU's page size of \(mask + 1)")
    }
    if let limits, !limits.contains(iova: iova, size: size) {
      throw Failure("vfio-map", "\(step): outside the addresses that the IOMMU can map")
    }
    let result = bh_vfio_map_dma(descriptor, access.vfioFlags, address, iova, size)
    try checked(
      result, "vfio-map", step,
      hint: result == -ENOMEM ? "raise the limit of locked memory (LimitMEMLOCK=) above the sum of the arenas" : "")
    mappings[iova] = size
  }

  /// Takes a mapping away again, whole.
  /// - Throws: `vfio-unmap` when there is no such mapping or the kernel unmapped less than all of it.
  public func unmapDMA(iova: UInt64) throws(Failure) {
    guard let size = mappings[iova] else {
      throw Failure("vfio-unmap", "nothing is mapped at IOVA 0x\(String(iova, radix: 16))")
    }
    let step = "unmap \(size) bytes at IOVA 0x\(String(iova, radix: 16))"
    var unmapped: UInt64 = 0
    try checked(bh_vfio_unmap_dma(descriptor, 0, iova, size, &unmapped), "vfio-unmap", step)
    guard unmapped == size else { throw Failure("vfio-unmap", "\(step): the kernel unmapped \(unmapped)") }
    mappings[iova] = nil
  }

  /// Unmaps all and closes. The domain goes when the last group has left. May be called again.
  public func close() {
    guard descriptor >= 0 else { return }
    for (iova, size) in mappings {
      var unmapped: UInt64 = 0
      _ = bh_vfio_unmap_dma(descriptor, 0, iova, size, &unmapped)
    }
    mappings = [:]
    _ = Glibc.close(descriptor)
    descriptor = -1
  }
}

extension DMAAccess {
  var vfioFlags: UInt32 {
    (contains(.deviceReads) ? UInt32(VFIO_DMA_MAP_FLAG_READ) : 0)
      | (contains(.deviceWrites) ? UInt32(VFIO_DMA_MAP_FLAG_WRITE) : 0)
  }
}
