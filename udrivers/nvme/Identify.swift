import DriverKit

/// Little-endian fields of a data structure that the controller wrote.
struct IdentifyData {
  /// Bytes of an Identify data structure.
  static let size = 4096

  let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count >= Self.size, "identify data has 4096 bytes")
    self.bytes = bytes
  }

  func get<Value: FixedWidthInteger>(_ offset: Int, _ type: Value.Type = Value.self) -> Value {
    Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self))
  }

  /// ASCII, padded with spaces; what cannot be printed becomes `?`.
  func text(_ offset: Int, _ length: Int) -> String {
    var characters = bytes[offset..<offset + length].map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
    while characters.last == 0x20 { characters.removeLast() }
    let begin = characters.firstIndex { $0 != 0x20 } ?? characters.endIndex
    return String(decoding: characters[begin...], as: UTF8.self)
  }

  /// Hexadecimal digits, or nil where all bytes are 0.
  func hexadecimal(_ offset: Int, _ length: Int) -> String? {
    let part = bytes[offset..<offset + length]
    guard part.contains(where: { $0 != 0 }) else { return nil }
    return part.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}

/// Identify Controller, CNS 01h: NVMe 2.0 figure 275.
public struct ControllerIdentity: Equatable, Sendable {
  /// VID, byte 0.
  public var vendor: UInt16
  /// SN, bytes 4 to 23.
  public var serial: String
  /// MN, bytes 24 to 63.
  public var model: String
  /// FR, bytes 64 to 71.
  public var firmware: String
  /// MDTS, byte 77, in bytes (of 4 KiB pages); nil where there is no limit.
  public var maximumTransfer: UInt64?
  /// VER, byte 80: major in bits 31:16, minor in 15:8.
  public var version: UInt32
  /// RTD3E, byte 88, in nanoseconds; 0 where the controller does not say.
  public var shutdownTime: Nanoseconds
  /// ACL, byte 258, made one-based.
  public var abortLimit: Int
  /// NN, byte 516.
  public var namespaces: UInt32
  /// ONCS, byte 520: bit 2 dataset management, bit 3 write zeroes.
  public var optionalCommands: UInt16
  /// VWC, byte 525 bit 0: there is a volatile write cache.
  public var hasVolatileCache: Bool
  /// AWUPF, byte 528, made one-based: blocks that a power failure does not tear.
  public var atomicBlocks: UInt32
  /// SGLS, byte 536; bits 1:0 other than 0: scatter-gather lists.
  public var sglSupport: UInt32

  public var supportsDeallocate: Bool { optionalCommands >> 2 & 1 == 1 }
  public var supportsWriteZeroes: Bool { optionalCommands >> 3 & 1 == 1 }

  /// - Parameter bytes: at least 4096.
  public init(_ bytes: UnsafeRawBufferPointer) {
    let data = IdentifyData(bytes)
    vendor = data.get(0)
    serial = data.text(4, 20)
    model = data.text(24, 40)
    firmware = data.text(64, 8)
    let transferExponent = data.get(77, UInt8.self)
    // An exponent beyond 2^40 bytes limits nothing.
    maximumTransfer = transferExponent == 0 || transferExponent > 28 ? nil : 4096 << UInt64(transferExponent)
    version = data.get(80)
    shutdownTime = Nanoseconds(data.get(88, UInt32.self)) * 1000
    abortLimit = Int(data.get(258, UInt8.self)) + 1
    namespaces = data.get(516)
    optionalCommands = data.get(520)
    hasVolatileCache = data.get(525, UInt8.self) & 1 == 1
    atomicBlocks = UInt32(data.get(528, UInt16.self)) + 1
    sglSupport = data.get(536)
  }
}

/// Identify Namespace, CNS 00h: NVM Command Set 1.0 figure 97.
public struct NamespaceIdentity: Equatable, Sendable {
  /// NSZE, byte 0.
  public var blocks: UInt64
  /// LBADS of the format in use, as a power of two of bytes.
  public var blockShift: UInt8
  /// MS of the format in use.
  public var metadataSize: UInt16
  /// DPS, byte 29 bits 2:0: end-to-end protection is on.
  public var isProtected: Bool
  /// DLFEAT, byte 33 bit 3: Write Zeroes takes the Deallocate bit, and bits 2:0: deallocated blocks read as zeroes.
  public var deallocatesToZeroes: Bool
  /// NAWUPF, byte 36, made one-based; nil where the controller's value counts (NSFEAT bit 1).
  public var atomicBlocks: UInt32?
  /// NABSPF, byte 44: atomic writes must not cross a boundary.
  public var hasAtomicBoundary: Bool
  /// NSATTR, byte 99 bit 0.
  public var isWriteProtected: Bool
  /// NGUID, byte 104, 16 bytes.
  public var guid: String?
  /// EUI64, byte 120, 8 bytes.
  public var eui64: String?

  /// - Parameter bytes: at least 4096.
  public init(_ bytes: UnsafeRawBufferPointer) {
    let data = IdentifyData(bytes)
    blocks = data.get(0)
    let features = data.get(24, UInt8.self)
    // FLBAS, byte 26: bits 3:0, and bits 6:5 above them where there are more than 16 formats (NLBAF, byte 25).
    let selection = data.get(26, UInt8.self)
    let more = data.get(25, UInt8.self) > 15 ? selection >> 5 & 3 : 0
    let format = data.get(128 + 4 * Int(more << 4 | selection & 0xf), UInt32.self)
    metadataSize = UInt16(truncatingIfNeeded: format)
    blockShift = UInt8(truncatingIfNeeded: format >> 16)
    isProtected = data.get(29, UInt8.self) & 7 != 0
    let deallocation = data.get(33, UInt8.self)
    deallocatesToZeroes = deallocation & 0xf == 0x9
    let namespaceBoundary = data.get(44, UInt16.self)
    let hasOwnAtomics = features >> 1 & 1 == 1
    atomicBlocks = hasOwnAtomics ? UInt32(data.get(36, UInt16.self)) + 1 : nil
    hasAtomicBoundary = hasOwnAtomics && namespaceBoundary != 0
    isWriteProtected = data.get(99, UInt8.self) & 1 == 1
    guid = data.hexadecimal(104, 16)
    eui64 = data.hexadecimal(120, 8)
  }

  /// Why the namespace cannot be served, or nil.
  public var obstacle: String? {
    if blocks == 0 { return "it has no blocks" }
    if metadataSize != 0 { return "its format has \(metadataSize) bytes of metadata with each block" }
    if isProtected { return "its format has end-to-end protection" }
    if !(9...16).contains(blockShift) { return "its blocks have 2^\(blockShift) bytes" }
    if blocks > UInt64(Int64.max) >> UInt64(blockShift) { return "it claims \(blocks) blocks" }
    return nil
  }
}
