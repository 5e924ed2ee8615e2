import CBulkhead
import Platform
import Protocol

/// What descriptors of a driver may name: its arena, the payload if it has that, and nothing else.
///
/// The addresses are not a parameter. A descriptor says the IOVA that the device uses (``AddressMap``), and the kernel
/// refuses all that is in no region, the rings themselves included.
public struct VhostMemory: @unchecked Sendable, Equatable {
  /// A part of the device's address space, and where it is in this process.
  public struct Region: @unchecked Sendable, Equatable {
    public let iova: UInt64
    public let base: UnsafeMutableRawPointer
    /// Bytes.
    public let size: Int
  }

  public let regions: [Region]

  /// Nothing at all: whatever a descriptor names is refused.
  public static let none = VhostMemory(regions: [])

  private init(regions: [Region]) { self.regions = regions }

  /// - Parameters:
  ///   - arena: the whole mapping of the driver's own DMA memory.
  ///   - payload: that of the payload, for a driver that was given it.
  /// - Throws: `vhost-memory` for memory that is not whole pages, is too large for its place, or is named twice.
  public init(arena: UnsafeMutableRawBufferPointer, payload: UnsafeMutableRawBufferPointer? = nil) throws(Failure) {
    var regions = [try VhostMemory.region("arena", arena, at: AddressMap.arena, limit: AddressMap.maximumArena)]
    if let payload {
      regions.append(
        try VhostMemory.region("payload", payload, at: AddressMap.payload, limit: AddressMap.maximumPayload))
      guard !VhostMemory.overlap(arena, payload) else {
        throw Failure("vhost-memory", "give vhost-net arena and payload: they are the same memory")
      }
    }
    self.init(regions: regions)
  }

  private static func region(
    _ name: String, _ memory: UnsafeMutableRawBufferPointer, at iova: UInt64, limit: Int
  ) throws(Failure) -> Region {
    guard let base = memory.baseAddress, memory.count > 0, memory.count <= limit,
      memory.count == roundedToPages(memory.count), Int(bitPattern: base) & (pageSize - 1) == 0
    else {
      throw Failure("vhost-memory", "give vhost-net \(memory.count) bytes of \(name): whole pages, at most \(limit)")
    }
    return Region(iova: iova, base: base, size: memory.count)
  }

  static func overlap(_ first: UnsafeMutableRawBufferPointer, _ second: UnsafeMutableRawBufferPointer) -> Bool {
    guard let one = first.baseAddress, let other = second.baseAddress else { return false }
    return one < other + second.count && other < one + first.count
  }

  /// Whether any byte of `memory` can be named by a descriptor.
  func contains(anyOf memory: UnsafeMutableRawBufferPointer) -> Bool {
    regions.contains { VhostMemory.overlap(UnsafeMutableRawBufferPointer(start: $0.base, count: $0.size), memory) }
  }

  /// As the kernel wants it.
  var table: [bh_vhost_region] {
    regions.map { region in
      bh_vhost_region(
        address: region.iova, size: UInt64(region.size), base: UInt64(UInt(bitPattern: region.base)), padding: 0)
    }
  }
}
