/// One request to an NBD export, as its issuer sees it.
public struct NBDRequest {
  /// "Request types" of the protocol.
  public enum Kind: UInt16, Sendable, CaseIterable {
    case read = 0
    case write = 1
    case flush = 3
    case trim = 4
    case writeZeroes = 6
  }

  /// Command flag: force unit access.
  public static let forceUnitAccess: UInt16 = 1
  /// Command flag of WRITE_ZEROES: the range must stay allocated.
  public static let noHole: UInt16 = 2

  public var kind: Kind
  public var flags: UInt16
  /// Bytes from the beginning of the export.
  public var offset: UInt64
  /// Bytes; 0 for a flush.
  public var length: Int
  /// Of a READ and a WRITE: `length` bytes that stay until the answer.
  public var memory: UnsafeMutableRawPointer?
  /// The issuer's name for it.
  public var cookie: UInt64

  public init(
    _ kind: Kind, flags: UInt16 = 0, offset: UInt64 = 0, length: Int = 0, memory: UnsafeMutableRawPointer? = nil,
    cookie: UInt64
  ) {
    self.kind = kind
    self.flags = flags
    self.offset = offset
    self.length = length
    self.memory = memory
    self.cookie = cookie
  }

  /// The 28 bytes of its header, all numbers big endian.
  func encodeHeader(into bytes: UnsafeMutableRawPointer) {
    bytes.storeBytes(of: UInt32(0x2560_9513).bigEndian, as: UInt32.self)
    bytes.storeBytes(of: flags.bigEndian, toByteOffset: 4, as: UInt16.self)
    bytes.storeBytes(of: kind.rawValue.bigEndian, toByteOffset: 6, as: UInt16.self)
    bytes.storeBytes(of: cookie.bigEndian, toByteOffset: 8, as: UInt64.self)
    bytes.storeBytes(of: offset.bigEndian, toByteOffset: 16, as: UInt64.self)
    bytes.storeBytes(of: UInt32(length).bigEndian, toByteOffset: 24, as: UInt32.self)
  }

  static let headerSize = 28
}

/// What a server says of an export.
public struct NBDExport: Sendable, Equatable {
  /// Bytes.
  public var size: UInt64
  /// Transmission flags.
  public var flags: UInt16
  /// Bytes: what requests must be aligned to.
  public var minimumBlock = 1
  /// Bytes of the largest READ or WRITE.
  public var maximumPayload = 32 << 20

  public var isReadOnly: Bool { flags & 1 << 1 != 0 }
  public var hasFlush: Bool { flags & 1 << 2 != 0 }
  public var hasFUA: Bool { flags & 1 << 3 != 0 }
  public var hasTrim: Bool { flags & 1 << 5 != 0 }
  public var hasWriteZeroes: Bool { flags & 1 << 6 != 0 }
  public var hasMultiConnection: Bool { flags & 1 << 8 != 0 }
}
