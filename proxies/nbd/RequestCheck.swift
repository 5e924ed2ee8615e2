import Protocol

/// The header of a request, as the client sent it.
struct RequestHeader: Equatable {
  var flags: UInt16
  var command: UInt16
  var cookie: UInt64
  var offset: UInt64
  var length: UInt32

  /// nil if it does not begin with the magic number: the connection is out of step and of no more use.
  init?(_ bytes: UnsafeRawPointer) {
    guard UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)) == NBD.requestMagic else { return nil }
    flags = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    command = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
    cookie = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    offset = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    length = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
  }
}

/// What is checked against: the part of an export that the data path needs, without its texts.
struct ExportLimits {
  var size: UInt64 = 0
  var blockSize: UInt32 = 512
  var maximumPayload: UInt32 = 0
  var flags = NBD.TransmissionFlags()
  /// The unit can make a single write durable.
  var hasForceUnitAccess = false
  var hasVolatileCache = false
  var allocation = Allocation.unknown
}

/// What becomes of a request.
enum RequestVerdict: Equatable {
  /// Carry it out. `flushAfter`: force unit access, by a flush.
  case carryOut(BlockClass.RequestType, BlockClass.RequestFlags, flushAfter: Bool)
  /// There is nothing to do.
  case done
  /// BLOCK_STATUS: answer with this.
  case report(AllocationExtent)
  /// Answer with an error. The payload of a WRITE is still to be taken.
  case refuse(Complaint)
  /// The same, and then hang up: nobody should have to take that much payload.
  case refuseAndEnd(Complaint)
  case disconnect

  /// - Note: the book's section "Error values" says which error each mistake gets.
  init(_ header: RequestHeader, _ export: ExportLimits, _ agreement: Agreement) {
    switch header.command {
    case NBD.Command.read: self = Self.read(header, export, agreement)
    case NBD.Command.write: self = Self.write(header, export)
    case NBD.Command.writeZeroes: self = Self.writeZeroes(header, export)
    case NBD.Command.trim: self = Self.trim(header, export)
    case NBD.Command.flush: self = Self.flush(header)
    case NBD.Command.cache: self = Self.cache(header, export)
    case NBD.Command.blockStatus: self = Self.blockStatus(header, export, agreement)
    case NBD.Command.disconnect: self = .disconnect
    default: self = .refuse(.notOffered)
    }
  }

  private static func read(
    _ header: RequestHeader, _ export: ExportLimits, _ agreement: Agreement
  ) -> RequestVerdict {
    // A reply is one chunk: asking not to fragment it changes nothing. But only who reads chunks may ask.
    let isStructured = agreement.contains(.structuredReplies)
    let known = isStructured ? NBD.CommandFlags.dontFragment : 0
    guard header.flagsBesidesFUA & ~known == 0 else { return .refuse(.flag) }
    guard header.isInside(export) else { return .refuse(.outside) }
    guard header.isAligned(export) else { return .refuse(.unaligned) }
    guard header.length <= export.maximumPayload else {
      // EOVERFLOW is for those who know structured replies ("NBD_CMD_READ", "Error values").
      return .refuse(isStructured ? .tooLongToRead : .tooLong)
    }
    guard header.length > 0 else { return .done }
    return .carryOut(.read, [], flushAfter: false)
  }

  private static func write(_ header: RequestHeader, _ export: ExportLimits) -> RequestVerdict {
    if let complaint = complaint(header, export) {
      // "Size constraints": up to 32 MiB no payload is to be taken for an attack, whatever was advertised.
      return header.length > 2 * NBD.maximumPayload ? .refuseAndEnd(complaint) : .refuse(complaint)
    }
    guard header.length > 0 else { return .done }
    return durable(.write, [], header, export)
  }

  private static func complaint(_ header: RequestHeader, _ export: ExportLimits) -> Complaint? {
    guard !export.flags.contains(.readOnly) else { return .readOnly }
    guard header.flagsBesidesFUA == 0 else { return .flag }
    guard header.isInside(export) else { return .beyondEnd }
    guard header.isAligned(export) else { return .unaligned }
    guard header.length <= export.maximumPayload else { return .tooLong }
    return nil
  }

  private static func writeZeroes(_ header: RequestHeader, _ export: ExportLimits) -> RequestVerdict {
    guard !export.flags.contains(.readOnly) else { return .refuse(.readOnly) }
    guard export.flags.contains(.sendWriteZeroes) else { return .refuse(.notOffered) }
    // FAST_ZERO is not offered, as no device says how long it takes: it is invalid, not unsupported ("Request types").
    guard header.flagsBesidesFUA & ~NBD.CommandFlags.noHole == 0 else { return .refuse(.flag) }
    guard header.isInside(export) else { return .refuse(.beyondEnd) }
    guard header.isAligned(export) else { return .refuse(.unaligned) }
    guard header.length > 0 else { return .done }
    let mayDeallocate = header.flags & NBD.CommandFlags.noHole == 0
    return durable(.writeZeroes, mayDeallocate ? .mayDeallocate : [], header, export)
  }

  private static func trim(_ header: RequestHeader, _ export: ExportLimits) -> RequestVerdict {
    guard !export.flags.contains(.readOnly) else { return .refuse(.readOnly) }
    guard export.flags.contains(.sendTrim) else { return .refuse(.notOffered) }
    guard header.flagsBesidesFUA == 0 else { return .refuse(.flag) }
    guard header.isInside(export) else { return .refuse(.outside) }
    guard header.isAligned(export) else { return .refuse(.unaligned) }
    guard header.length > 0 else { return .done }
    // No device forces a discard to the medium by itself.
    return .carryOut(.discard, [], flushAfter: header.wantsFUA && export.hasVolatileCache)
  }

  private static func flush(_ header: RequestHeader) -> RequestVerdict {
    guard header.flagsBesidesFUA == 0 else { return .refuse(.flag) }
    guard header.offset == 0, header.length == 0 else { return .refuse(.flushRange) }
    return .carryOut(.flush, [], flushAfter: false)
  }

  /// A hint. Nothing here caches, and reading for the device's sake would cost those who read in earnest.
  private static func cache(_ header: RequestHeader, _ export: ExportLimits) -> RequestVerdict {
    guard header.flagsBesidesFUA == 0 else { return .refuse(.flag) }
    guard header.isInside(export) else { return .refuse(.outside) }
    guard header.isAligned(export) else { return .refuse(.unaligned) }
    return .done
  }

  private static func blockStatus(
    _ header: RequestHeader, _ export: ExportLimits, _ agreement: Agreement
  ) -> RequestVerdict {
    guard agreement.contains(.allocation) else { return .refuse(.noContext) }
    guard header.flagsBesidesFUA & ~NBD.CommandFlags.requestOne == 0 else { return .refuse(.flag) }
    guard header.isInside(export) else { return .refuse(.outside) }
    guard header.isAligned(export) else { return .refuse(.unaligned) }
    guard header.length > 0 else { return .refuse(.emptyStatus) }
    return .report(export.allocation.extent(at: header.offset, length: header.length))
  }

  private static func durable(
    _ operation: BlockClass.RequestType, _ flags: BlockClass.RequestFlags, _ header: RequestHeader,
    _ export: ExportLimits
  ) -> RequestVerdict {
    // Without a volatile cache every write that was completed is on the medium.
    guard header.wantsFUA, export.hasVolatileCache else { return .carryOut(operation, flags, flushAfter: false) }
    if export.hasForceUnitAccess {
      return .carryOut(operation, flags.union(.forceUnitAccess), flushAfter: false)
    }
    return .carryOut(operation, flags, flushAfter: true)
  }
}

extension RequestHeader {
  fileprivate var wantsFUA: Bool { flags & NBD.CommandFlags.forceUnitAccess != 0 }
  /// FUA is valid with every command once it is offered, and it always is.
  fileprivate var flagsBesidesFUA: UInt16 { flags & ~NBD.CommandFlags.forceUnitAccess }

  fileprivate func isInside(_ export: ExportLimits) -> Bool {
    let (end, overflow) = offset.addingReportingOverflow(UInt64(length))
    return !overflow && end <= export.size
  }

  fileprivate func isAligned(_ export: ExportLimits) -> Bool {
    (offset | UInt64(length)) & UInt64(export.blockSize - 1) == 0
  }
}
