import Glibc

/// The block class: virtio-blk requests (virtio 1.2 section 5.2.6) on split virtqueues, the broker playing the guest and
/// the driver the device.
///
/// Differences from virtio-blk, all of them because one driver serves several units and the two sides do not trust each
/// other:
/// - the 32 bits that virtio-blk reserves in the request header carry the unit and the FUA flag;
/// - the status descriptor is ``statusSize`` bytes: it carries an errno and gives the request's tag back;
/// - discard and write-zeroes have their one segment in the slot, behind the header.
public enum BlockClass {
  /// Request types, virtio 1.2 section 5.2.6.
  public enum RequestType: UInt32, CaseIterable, Sendable {
    case read = 0
    case write = 1
    case flush = 4
    case discard = 11
    case writeZeroes = 13
  }

  /// Bits of the header's flags.
  public struct RequestFlags: OptionSet, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Force unit access: the data is on the medium before the request completes.
    public static let forceUnitAccess = RequestFlags(rawValue: 1)
    /// Write zeroes only: the device may deallocate the blocks if they read as zeroes afterwards.
    public static let mayDeallocate = RequestFlags(rawValue: 2)
  }

  /// Values of the status byte, virtio 1.2 section 5.2.6.
  public enum Status: UInt8, Sendable {
    case ok = 0
    case ioError = 1
    case unsupported = 2
  }

  /// Whether a request may end with this errno: it says why a device failed. With any other one, the kit says EIO.
  public static func isCause(_ errno: Int32) -> Bool {
    switch errno {
    case EPERM, EACCES, EROFS, ENOSPC, EINVAL, ENOTSUP, EIO, ENODATA, EREMOTEIO, EILSEQ, EBADE, ENOLINK, ENODEV, ENXIO,
      ETIMEDOUT, ETIME, EBUSY, EAGAIN, ENOMEM, ECANCELED, EINTR:
      true
    default: false
    }
  }

  /// virtio-blk counts in sectors of 512 bytes, whatever the unit's block size.
  public static let sectorSize = 512

  // The slot of a request in the memory of the rings.

  /// Bytes of a slot.
  public static let slotSize = 64
  /// type u32, unit u16, flags u16, sector u64: 16 bytes at the beginning of the slot.
  public static let headerOffset = 0
  public static let headerSize = 16
  public static let headerTypeOffset = 0
  public static let headerUnitOffset = 4
  public static let headerFlagsOffset = 6
  public static let headerSectorOffset = 8
  /// Discard and write zeroes: sector u64, count of sectors u32, reserved u32 (virtio 1.2 section 5.2.6, one segment).
  public static let segmentOffset = 16
  public static let segmentSize = 16
  /// The request's tag, u32, which the driver gives back; with the header it makes one descriptor.
  public static let tagOffset = 32
  /// status u8, zero u8, errno u16, tag u32: written by the driver.
  public static let statusOffset = 48
  public static let statusSize = 8

  /// Descriptors that belong to one slot for good: slot s owns 3s (header), 3s+1 (data) and 3s+2 (status).
  ///
  /// A request without payload chains 3s to 3s+2. The first descriptor covers header, segment and tag (36 bytes).
  public static let descriptorsPerSlot = 3
  public static let requestSize = 36

  /// Requests that can be in flight on a queue of `queueSize` descriptors.
  public static func slots(queueSize: Int) -> Int { queueSize / 4 }
}

/// What a driver says of one unit (an NVMe namespace).
public struct BlockUnit: WireCodable {
  public struct Features: OptionSet, Sendable, Hashable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public static let readOnly = Features(rawValue: 1)
    /// Writes are volatile until a flush.
    public static let volatileCache = Features(rawValue: 2)
    public static let forceUnitAccess = Features(rawValue: 4)
    public static let discard = Features(rawValue: 8)
    public static let writeZeroes = Features(rawValue: 16)
    static let known: Features = [.readOnly, .volatileCache, .forceUnitAccess, .discard, .writeZeroes]
  }

  /// From 0, in the order of announcement.
  public var index: UInt16
  /// The device's own name for it (NVMe: the namespace identifier).
  public var identifier: UInt32
  /// Bytes of a logical block; a power of two from 512 to 65536.
  public var blockSize: UInt32
  /// Logical blocks.
  public var blocks: UInt64
  /// The most bytes of one request; a multiple of the block size.
  public var maximumTransfer: UInt32
  /// Bytes up to which a write is not torn; at least one block.
  public var atomicWrite: UInt32
  public var features: Features
  /// Model and serial number as the device gives them, and a world-wide name or an empty text.
  public var model: String
  public var serial: String
  public var worldWideName: String

  public init(
    index: UInt16, identifier: UInt32, blockSize: UInt32, blocks: UInt64, maximumTransfer: UInt32, atomicWrite: UInt32,
    features: Features, model: String, serial: String, worldWideName: String
  ) {
    self.index = index
    self.identifier = identifier
    self.blockSize = blockSize
    self.blocks = blocks
    self.maximumTransfer = maximumTransfer
    self.atomicWrite = atomicWrite
    self.features = features
    self.model = model
    self.serial = serial
    self.worldWideName = worldWideName
  }

  /// Bytes of the unit.
  public var size: UInt64 { blocks * UInt64(blockSize) }

  /// The most units that one device can have.
  public static let maximumCount = 16

  public func encode(into writer: inout WireWriter) {
    writer.put(index)
    writer.put(identifier)
    writer.put(blockSize)
    writer.put(blocks)
    writer.put(maximumTransfer)
    writer.put(atomicWrite)
    writer.put(features.rawValue)
    writer.put(model, limit: 64)
    writer.put(serial, limit: 64)
    writer.put(worldWideName, limit: 64)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    index = try reader.get("unit index")
    identifier = try reader.get("unit identifier")
    blockSize = try reader.get("unit block size")
    blocks = try reader.get("unit blocks")
    maximumTransfer = try reader.get("unit maximum transfer")
    atomicWrite = try reader.get("unit atomic write")
    features = Features(rawValue: try reader.get("unit features"))
    model = try reader.text(limit: 64, "unit model")
    serial = try reader.text(limit: 64, "unit serial")
    worldWideName = try reader.text(limit: 64, "unit world-wide name")
    guard index < UInt16(Self.maximumCount) else { throw .invalidValue("unit index") }
    guard blockSize.nonzeroBitCount == 1, (512...65536).contains(blockSize) else {
      throw .invalidValue("unit block size")
    }
    // A kernel block device cannot be larger than 2^63 bytes.
    let (bytes, overflow) = blocks.multipliedReportingOverflow(by: UInt64(blockSize))
    guard !overflow, blocks > 0, bytes <= UInt64(Int64.max) else { throw .invalidValue("unit blocks") }
    guard maximumTransfer >= blockSize, maximumTransfer % blockSize == 0 else {
      throw .invalidValue("unit maximum transfer")
    }
    guard atomicWrite >= blockSize else { throw .invalidValue("unit atomic write") }
    guard Features.known.isSuperset(of: features) else { throw .invalidValue("unit features") }
  }
}
