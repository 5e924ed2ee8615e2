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
}

/// What becomes of a request.
enum RequestVerdict: Equatable {
  /// Carry it out. `flushAfter`: force unit access, by a flush.
  case carryOut(BlockClass.RequestType, BlockClass.RequestFlags, flushAfter: Bool)
  /// Answer with an error, or with 0: done, there was nothing to do. The payload of a WRITE is still to be taken.
  case answer(UInt32)
  case disconnect

  /// - Note: the book's section "Error values" says which error each mistake gets.
  init(_ header: RequestHeader, _ export: ExportLimits) {
    switch header.command {
    case NBD.Command.read: self = Self.read(header, export)
    case NBD.Command.write: self = Self.write(header, export)
    case NBD.Command.writeZeroes: self = Self.writeZeroes(header, export)
    case NBD.Command.trim: self = Self.trim(header, export)
    case NBD.Command.flush:
      let isPlain = header.flagsBesidesFUA == 0 && header.offset == 0 && header.length == 0
      self = isPlain ? .carryOut(.flush, [], flushAfter: false) : .answer(NBD.ErrorCode.invalid)
    case NBD.Command.cache:
      // Nothing here caches: a hint that is taken note of.
      let isValid = header.flagsBesidesFUA == 0 && header.isInside(export) && header.isAligned(export)
      self = .answer(isValid ? NBD.ErrorCode.none : NBD.ErrorCode.invalid)
    case NBD.Command.disconnect: self = .disconnect
    default: self = .answer(NBD.ErrorCode.invalid)
    }
  }

  private static func read(_ header: RequestHeader, _ export: ExportLimits) -> RequestVerdict {
    guard header.flagsBesidesFUA == 0, header.isInside(export), header.isAligned(export) else {
      return .answer(NBD.ErrorCode.invalid)
    }
    guard header.length <= export.maximumPayload else { return .answer(NBD.ErrorCode.overflow) }
    guard header.length > 0 else { return .answer(NBD.ErrorCode.none) }
    return .carryOut(.read, [], flushAfter: false)
  }

  private static func write(_ header: RequestHeader, _ export: ExportLimits) -> RequestVerdict {
    guard !export.flags.contains(.readOnly) else { return .answer(NBD.ErrorCode.notPermitted) }
    guard header.flagsBesidesFUA == 0 else { return .answer(NBD.ErrorCode.invalid) }
    guard header.isInside(export) else { return .answer(NBD.ErrorCode.noSpace) }
    guard header.isAligned(export), header.length <= export.maximumPayload else {
      return .answer(NBD.ErrorCode.invalid)
    }
    guard header.length > 0 else { return .answer(NBD.ErrorCode.none) }
    return durable(.write, [], header, export)
  }

  private static func writeZeroes(_ header: RequestHeader, _ export: ExportLimits) -> RequestVerdict {
    guard !export.flags.contains(.readOnly) else { return .answer(NBD.ErrorCode.notPermitted) }
    // FAST_ZERO is not offered, so it is invalid, not unsupported ("Request types", WRITE_ZEROES).
    guard export.flags.contains(.sendWriteZeroes), header.flagsBesidesFUA & ~NBD.CommandFlags.noHole == 0 else {
      return .answer(NBD.ErrorCode.invalid)
    }
    guard header.isInside(export) else { return .answer(NBD.ErrorCode.noSpace) }
    guard header.isAligned(export) else { return .answer(NBD.ErrorCode.invalid) }
    guard header.length > 0 else { return .answer(NBD.ErrorCode.none) }
    let mayDeallocate = header.flags & NBD.CommandFlags.noHole == 0
    return durable(.writeZeroes, mayDeallocate ? .mayDeallocate : [], header, export)
  }

  private static func trim(_ header: RequestHeader, _ export: ExportLimits) -> RequestVerdict {
    guard !export.flags.contains(.readOnly) else { return .answer(NBD.ErrorCode.notPermitted) }
    guard export.flags.contains(.sendTrim), header.flagsBesidesFUA == 0, header.isInside(export),
      header.isAligned(export)
    else { return .answer(NBD.ErrorCode.invalid) }
    guard header.length > 0 else { return .answer(NBD.ErrorCode.none) }
    // No device forces a discard to the medium by itself.
    return .carryOut(.discard, [], flushAfter: header.wantsFUA && export.hasVolatileCache)
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
