import CBulkhead
import Platform

/// The answer of VFIO_DEVICE_GET_REGION_INFO, with the capabilities that Bulkhead uses.
struct RegionInfo: Equatable {
  /// Bytes of `struct vfio_region_info`.
  static let fixedSize = 32

  var index: UInt32
  var flags: UInt32
  /// Bytes; 0 when the region does not exist.
  var size: UInt64
  /// Where the region begins in the device file.
  var fileOffset: UInt64
  /// The only parts of the region that can be mapped, or `nil` when all of it can.
  var sparseAreas: [Range<UInt64>]?
  /// The kernel would let us map the MSI-X table as well; Bulkhead never does.
  var isMSIXMappable = false

  var isReadable: Bool { flags & UInt32(VFIO_REGION_INFO_FLAG_READ) != 0 }
  var isWritable: Bool { flags & UInt32(VFIO_REGION_INFO_FLAG_WRITE) != 0 }
  var isMappable: Bool { flags & UInt32(VFIO_REGION_INFO_FLAG_MMAP) != 0 }

  /// - Throws: `vfio-region` or `vfio-capabilities` for an answer that contradicts itself.
  init(parsing bytes: [UInt8]) throws(Failure) {
    guard bytes.count >= RegionInfo.fixedSize else {
      throw Failure("vfio-region", "read a region info of \(bytes.count) bytes")
    }
    flags = bytes.u32(4)
    index = bytes.u32(8)
    size = bytes.u64(16)
    fileOffset = bytes.u64(24)
    guard !size.addingReportingOverflow(fileOffset).overflow else {
      throw Failure("vfio-region", "region \(index) of \(size) bytes at \(fileOffset) wraps around")
    }
    guard flags & UInt32(VFIO_REGION_INFO_FLAG_CAPS) != 0 else { return }
    for capability in try CapabilityChain.parse(bytes, first: bytes.u32(12), fixedSize: RegionInfo.fixedSize) {
      switch Int32(capability.id) {
      case VFIO_REGION_INFO_CAP_SPARSE_MMAP:
        sparseAreas = try RegionInfo.sparseAreas(bytes, at: capability.contents, regionSize: size, index: index)
      case VFIO_REGION_INFO_CAP_MSIX_MAPPABLE: isMSIXMappable = true
      default: break
      }
    }
  }

  /// `u32 nr_areas, u32 reserved, { u64 offset, u64 size }...` (`struct vfio_region_info_cap_sparse_mmap`).
  private static func sparseAreas(
    _ bytes: [UInt8], at start: Int, regionSize: UInt64, index: UInt32
  ) throws(Failure) -> [Range<UInt64>] {
    guard bytes.holds(1, of: 8, at: start), bytes.holds(bytes.u32(start), of: 16, at: start + 8) else {
      throw Failure("vfio-capabilities", "read the sparse-mmap areas of region \(index): truncated")
    }
    var areas: [Range<UInt64>] = []
    for number in 0..<Int(bytes.u32(start)) {
      let offset = bytes.u64(start + 8 + 16 * number)
      let size = bytes.u64(start + 16 + 16 * number)
      let (end, overflow) = offset.addingReportingOverflow(size)
      guard !overflow, end <= regionSize else {
        throw Failure("vfio-capabilities", "sparse-mmap area \(number) of region \(index) is outside the region")
      }
      if size > 0 { areas.append(offset..<end) }
    }
    return areas
  }
}

extension DeviceRegion {
  init(_ info: RegionInfo) {
    self.init(
      bar: Int(info.index), size: info.size, fileOffset: info.fileOffset, isReadable: info.isReadable,
      isWritable: info.isWritable, isMappable: info.isMappable)
  }
}
