import Virtqueue

/// One request of the broker, checked: every address lies in the memory that this driver was granted.
///
/// A plain value of a few words: nothing is allocated or counted for a request.
public struct BlockRequest {
  public var type: BlockClass.RequestType
  public var flags: BlockClass.RequestFlags
  /// Index of the unit as the driver announced it; not checked here.
  public var unit: UInt16
  /// First sector, of 512 bytes; not checked against the unit's size here.
  public var sector: UInt64
  /// Sectors of 512 bytes; 0 for a flush.
  public var sectors: UInt64
  /// The device's address of the payload, contiguous for the device; 0 for a request without payload.
  public var address: UInt64
  /// Bytes of payload: `sectors * 512` for read and write, otherwise 0.
  public var length: UInt32
  /// Names the request on its queue until it is completed.
  var head: UInt16
  /// Goes back to the broker, which knows by it that the answer belongs to this request and not to an earlier one.
  var tag: UInt32
  /// Where the status goes: bytes from the beginning of the queue's memory.
  var statusOffset: Int
}

/// Why a chain of descriptors is no request.
public enum BlockRequestError: String, Error, Sendable {
  case header = "the first descriptor is no request header in the rings"
  case status = "the last descriptor is no place for a status in the rings"
  case payload = "the payload is outside its memory, or of a length that is no number of sectors"
  case chain = "the chain is not header, payload and status"
  case type = "the request type is not known"
  case range = "the range of sectors is empty or too large"
}

/// Where requests may be: all that is needed to take a chain apart.
struct BlockRequestSpace {
  /// The queue's memory, and its address in descriptors.
  let base: UnsafeMutableRawPointer
  let address: UInt64
  let layout: SlottedQueueLayout
  let payload: Range<UInt64>

  /// Offset of `length` bytes at `address` in the queue's memory, if they lie within its slots and are aligned to 8.
  @inline(__always)
  private func slotOffset(_ descriptor: VirtqueueDescriptor, _ length: Int) -> Int? {
    let slotsBegin = address + UInt64(layout.slotsOffset)
    let slotsBytes = UInt64(layout.slots * layout.slotSize)
    guard descriptor.length == UInt32(length), descriptor.address >= slotsBegin, descriptor.address & 7 == 0 else {
      return nil
    }
    let offset = descriptor.address - slotsBegin
    guard offset <= slotsBytes - UInt64(length) else { return nil }
    return layout.slotsOffset + Int(offset)
  }

  /// Finds where the status of the chain belongs, even if the rest of it is wrong.
  /// - Throws: ``BlockRequestError``.
  func statusOffset(of descriptor: VirtqueueDescriptor) throws(BlockRequestError) -> Int {
    guard descriptor.flags == VirtqueueDescriptor.flagWrite,
      let offset = slotOffset(descriptor, BlockClass.statusSize)
    else { throw .status }
    return offset
  }

  /// Takes a chain of `count` descriptors apart: each value is read once into a local, then checked.
  /// - Throws: ``BlockRequestError``.
  func parse(
    _ chain: UnsafeMutablePointer<VirtqueueDescriptor>, count: Int, head: UInt16, statusOffset: Int
  ) throws(BlockRequestError) -> BlockRequest {
    guard count == 2 || count == 3 else { throw .chain }
    let header = chain[0]
    guard header.flags == VirtqueueDescriptor.flagNext, let offset = slotOffset(header, BlockClass.requestSize) else {
      throw .header
    }
    let slot = base + offset
    let rawType = slot.load(fromByteOffset: BlockClass.headerTypeOffset, as: UInt32.self)
    guard let type = BlockClass.RequestType(rawValue: rawType) else { throw .type }
    var request = BlockRequest(
      type: type,
      flags: .init(rawValue: slot.load(fromByteOffset: BlockClass.headerFlagsOffset, as: UInt16.self)),
      unit: slot.load(fromByteOffset: BlockClass.headerUnitOffset, as: UInt16.self),
      sector: slot.load(fromByteOffset: BlockClass.headerSectorOffset, as: UInt64.self), sectors: 0, address: 0,
      length: 0, head: head, tag: slot.load(fromByteOffset: BlockClass.tagOffset, as: UInt32.self),
      statusOffset: statusOffset)
    switch type {
    case .read, .write:
      guard count == 3 else { throw .chain }
      try addPayload(chain[1], written: type == .read, to: &request)
    case .flush:
      guard count == 2 else { throw .chain }
    case .discard, .writeZeroes:
      guard count == 2 else { throw .chain }
      request.sector = slot.load(fromByteOffset: BlockClass.segmentOffset, as: UInt64.self)
      request.sectors = UInt64(slot.load(fromByteOffset: BlockClass.segmentOffset + 8, as: UInt32.self))
      guard request.sectors > 0 else { throw .range }
    }
    guard request.sector <= UInt64.max / UInt64(BlockClass.sectorSize) - request.sectors else { throw .range }
    return request
  }

  @inline(__always)
  private func addPayload(
    _ data: VirtqueueDescriptor, written: Bool, to request: inout BlockRequest
  ) throws(BlockRequestError) {
    let flags = VirtqueueDescriptor.flagNext | (written ? VirtqueueDescriptor.flagWrite : 0)
    guard data.flags == flags else { throw .chain }
    guard data.length > 0, data.length % UInt32(BlockClass.sectorSize) == 0, data.address >= payload.lowerBound,
      data.address <= payload.upperBound, UInt64(data.length) <= payload.upperBound - data.address
    else { throw .payload }
    request.address = data.address
    request.length = data.length
    request.sectors = UInt64(data.length) / UInt64(BlockClass.sectorSize)
  }
}
