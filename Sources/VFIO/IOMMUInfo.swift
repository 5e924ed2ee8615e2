import CBulkhead
import Platform

/// What the IOMMU of a container can do: the answer of VFIO_IOMMU_GET_INFO.
public struct IOMMUInfo: Sendable, Equatable {
  /// Bytes of the fixed part that has a `cap_offset`.
  static let fixedSize = 20

  /// A bitmap: bit 12 set means that mappings may be multiples of 4096 bytes.
  public var pageSizes: UInt64 = 0
  /// The addresses that can be mapped; empty when the kernel does not say. MSI doorbells are never in it.
  public var ranges: [ClosedRange<UInt64>] = []
  /// How many more mappings the kernel will make; `nil` when it does not say.
  public var availableMappings: Int?

  /// The smallest unit of a mapping, in bytes; 4096 when the kernel does not say.
  public var smallestPage: UInt64 { pageSizes == 0 ? 4096 : 1 << UInt64(pageSizes.trailingZeroBitCount) }

  /// Whether `size` bytes at `iova` lie in one of the ranges.
  public func contains(iova: UInt64, size: UInt64) -> Bool {
    guard size > 0 else { return false }
    let (last, overflow) = iova.addingReportingOverflow(size - 1)
    return !overflow && (ranges.isEmpty || ranges.contains { $0.contains(iova) && $0.contains(last) })
  }

  /// - Throws: `vfio-iommu-info` or `vfio-capabilities` for an answer that contradicts itself.
  init(parsing bytes: [UInt8]) throws(Failure) {
    guard bytes.count >= IOMMUInfo.fixedSize else {
      throw Failure("vfio-iommu-info", "read an IOMMU info of \(bytes.count) bytes")
    }
    let flags = bytes.u32(4)
    if flags & UInt32(VFIO_IOMMU_INFO_PGSIZES) != 0 { pageSizes = bytes.u64(8) }
    guard flags & UInt32(VFIO_IOMMU_INFO_CAPS) != 0 else { return }
    for capability in try CapabilityChain.parse(bytes, first: bytes.u32(16), fixedSize: IOMMUInfo.fixedSize) {
      switch Int32(capability.id) {
      case VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE:
        ranges = try IOMMUInfo.ranges(bytes, at: capability.contents)
      case VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL:
        guard bytes.holds(1, of: 4, at: capability.contents) else {
          throw Failure("vfio-capabilities", "read the number of available mappings: truncated")
        }
        availableMappings = Int(bytes.u32(capability.contents))
      default: break
      }
    }
  }

  /// `u32 nr_iovas, u32 reserved, { u64 start, u64 end }...`; `end` is the last address.
  private static func ranges(_ bytes: [UInt8], at start: Int) throws(Failure) -> [ClosedRange<UInt64>] {
    guard bytes.holds(1, of: 8, at: start), bytes.holds(bytes.u32(start), of: 16, at: start + 8) else {
      throw Failure("vfio-capabilities", "read the IOVA ranges: truncated")
    }
    var ranges: [ClosedRange<UInt64>] = []
    for number in 0..<Int(bytes.u32(start)) {
      let first = bytes.u64(start + 8 + 16 * number)
      let last = bytes.u64(start + 16 + 16 * number)
      guard first <= last else { throw Failure("vfio-capabilities", "IOVA range \(number) ends before it begins") }
      ranges.append(first...last)
    }
    return ranges
  }
}
