import DriverKit

/// What the hot path has to know of a namespace; a plain value.
struct Namespace {
  let id: UInt32
  let blocks: UInt64
  /// Sectors of 512 bytes in a block, as a power of two.
  let sectorShift: UInt8
  let maximumTransfer: UInt32
  let hasVolatileCache: Bool
  let supportsDeallocate: Bool
  let supportsWriteZeroes: Bool
  let deallocatesToZeroes: Bool
  let isWriteProtected: Bool

  init(id: UInt32, _ namespace: NamespaceIdentity, _ controller: ControllerIdentity) {
    self.id = id
    blocks = namespace.blocks
    sectorShift = namespace.blockShift - 9
    let blockSize = UInt64(1) << UInt64(namespace.blockShift)
    let limits = [controller.maximumTransfer ?? .max, PRPList.maximumTransfer, blockSize << 16]
    // A controller may name a limit below one block; it then means one block.
    maximumTransfer = UInt32(max(blockSize, (limits.min() ?? blockSize) & ~(blockSize - 1)))
    hasVolatileCache = controller.hasVolatileCache
    supportsDeallocate = controller.supportsDeallocate
    supportsWriteZeroes = controller.supportsWriteZeroes
    deallocatesToZeroes = namespace.deallocatesToZeroes
    isWriteProtected = namespace.isWriteProtected
  }

  var blockSize: UInt32 { UInt32(BlockClass.sectorSize) << UInt32(sectorShift) }

  /// A range of sectors in logical blocks, if it is made of whole blocks of this namespace.
  @inline(__always)
  func blocks(sector: UInt64, sectors: UInt64) -> (first: UInt64, count: UInt64)? {
    let mask = (UInt64(1) << UInt64(sectorShift)) - 1
    guard (sector | sectors) & mask == 0 else { return nil }
    let first = sector >> UInt64(sectorShift)
    let count = sectors >> UInt64(sectorShift)
    guard count > 0, first < blocks, count <= blocks - first else { return nil }
    return (first, count)
  }
}

extension BlockUnit {
  /// The announcement of a namespace.
  init(index: Int, _ namespace: Namespace, _ identity: NamespaceIdentity, _ controller: ControllerIdentity) {
    var features: Features = [.forceUnitAccess]
    if namespace.hasVolatileCache { features.insert(.volatileCache) }
    if namespace.supportsDeallocate { features.insert(.discard) }
    if namespace.supportsWriteZeroes { features.insert(.writeZeroes) }
    if namespace.isWriteProtected { features.insert(.readOnly) }
    let atomicBlocks = identity.hasAtomicBoundary ? 1 : identity.atomicBlocks ?? controller.atomicBlocks
    self.init(
      index: UInt16(index), identifier: namespace.id, blockSize: namespace.blockSize, blocks: namespace.blocks,
      maximumTransfer: namespace.maximumTransfer, atomicWrite: atomicBlocks * namespace.blockSize, features: features,
      model: controller.model, serial: controller.serial,
      worldWideName: Self.worldWideName(namespace.id, identity, controller))
  }

  private static func worldWideName(
    _ id: UInt32, _ namespace: NamespaceIdentity, _ controller: ControllerIdentity
  ) -> String {
    if let guid = namespace.guid { return "eui.\(guid)" }
    if let eui64 = namespace.eui64 { return "eui.\(eui64)" }
    return "nvme.\(String(controller.vendor, radix: 16))-\(controller.serial)-\(id)"
  }
}
