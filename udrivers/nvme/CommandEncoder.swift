import DriverKit
import Glibc

/// What a request becomes: the next command for it, or its end.
enum EncodedRequest {
  /// `blocks` of the request are done when this command succeeds.
  case command(SubmissionEntry, blocks: UInt32)
  /// Nothing to do for the controller.
  case done
  case refused(errno: Int32)
}

/// Turns requests of the broker into commands. No state: everything is in its arguments.
enum CommandEncoder {
  /// The most blocks of one Write Zeroes: its number of blocks has 16 bits.
  static let maximumZeroedBlocks: UInt64 = 65536

  /// - Parameters:
  ///   - done: blocks that earlier commands for the same request have covered.
  ///   - list: of ``PRPList/byteCount`` bytes, the command's own.
  @inline(__always)
  static func encode(
    _ request: BlockRequest, done: UInt64, _ namespace: Namespace, list: DMAMemory
  ) -> EncodedRequest {
    switch request.type {
    case .read: return transfer(.read, request, namespace, list)
    case .write: return transfer(.write, request, namespace, list)
    case .flush:
      // Without a volatile cache there is nothing to flush (NVM Command Set 1.0 section 7.1).
      guard namespace.hasVolatileCache else { return .done }
      return .command(.flush(namespace: namespace.id), blocks: 0)
    case .writeZeroes: return writeZeroes(request, done, namespace)
    case .discard: return deallocate(request, namespace, list)
    }
  }

  @inline(__always)
  private static func transfer(
    _ opcode: NVMOpcode, _ request: BlockRequest, _ namespace: Namespace, _ list: DMAMemory
  ) -> EncodedRequest {
    guard let range = namespace.blocks(sector: request.sector, sectors: request.sectors),
      request.length <= namespace.maximumTransfer
    else { return .refused(errno: EINVAL) }
    let blocks = UInt32(truncatingIfNeeded: range.count)
    var entry = SubmissionEntry.transfer(
      opcode, namespace: namespace.id, block: range.first, blocks: blocks,
      forceUnitAccess: request.flags.contains(.forceUnitAccess))
    let entries = list.pointer.assumingMemoryBound(to: UInt64.self)
    guard
      let prp = PRPList.describe(
        address: request.address, length: UInt64(request.length), list: entries, listAddress: list.address)
    else { return .refused(errno: EINVAL) }
    entry.prp1 = prp.prp1
    entry.prp2 = prp.prp2
    return .command(entry, blocks: blocks)
  }

  private static func writeZeroes(
    _ request: BlockRequest, _ done: UInt64, _ namespace: Namespace
  ) -> EncodedRequest {
    guard namespace.supportsWriteZeroes else { return .refused(errno: EOPNOTSUPP) }
    guard let range = namespace.blocks(sector: request.sector, sectors: request.sectors) else {
      return .refused(errno: EINVAL)
    }
    guard done < range.count else { return .done }
    let blocks = UInt32(min(range.count - done, maximumZeroedBlocks))
    return .command(
      .writeZeroes(
        namespace: namespace.id, block: range.first + done, blocks: blocks,
        forceUnitAccess: request.flags.contains(.forceUnitAccess),
        deallocate: request.flags.contains(.mayDeallocate) && namespace.deallocatesToZeroes), blocks: blocks)
  }

  private static func deallocate(
    _ request: BlockRequest, _ namespace: Namespace, _ list: DMAMemory
  ) -> EncodedRequest {
    guard namespace.supportsDeallocate else { return .refused(errno: EOPNOTSUPP) }
    guard let range = namespace.blocks(sector: request.sector, sectors: request.sectors),
      let blocks = UInt32(exactly: range.count)
    else { return .refused(errno: EINVAL) }
    list.pointer.storeBytes(of: DatasetRange(firstBlock: range.first, blocks: blocks), as: DatasetRange.self)
    return .command(.deallocate(namespace: namespace.id, rangeAt: list.address), blocks: blocks)
  }
}
