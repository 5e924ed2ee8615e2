import Platform
import Protocol

/// What a success is answered with.
enum Answer: UInt8 {
  /// That it is done.
  case nothing
  /// READ: its payload.
  case data
  /// BLOCK_STATUS: one extent.
  case extent
}

/// One request of a client, from its header to its reply.
struct Request {
  enum State: UInt8 {
    case free
    /// Being made; its payload, if there is any, is coming in from the client.
    case receiving
    /// Waits for older requests, see ``RangeTable``.
    case blocked
    /// Waits for slots; some of its parts may be with the driver.
    case pending
    /// All that is to be done is with the driver.
    case active
    /// Done; not yet seen by the server.
    case finished
    /// In its connection's list of replies.
    case replying
  }

  var state = State.free
  var operation = BlockClass.RequestType.read
  var flags = BlockClass.RequestFlags()
  /// Force unit access has to be made with a flush, because the unit cannot do it.
  var flushAfter = false
  /// That flush is under way.
  var isFlushing = false
  var unit: UInt16 = 0
  /// Index of the connection that waits for the reply, -1 if it is gone.
  var connection: Int32 = -1
  /// First page of the payload, -1 if it has none.
  var extent: Int32 = -1
  /// Next in whatever list the state says; -1 at the end.
  var next: Int32 = -1
  /// Parts that the driver has.
  var parts: Int32 = 0
  /// The error that it ends with, or 0: a number of ``NBD/ErrorCode``.
  var error: UInt32 = 0
  var complaint = Complaint.none
  /// Byte of the unit where the first error is, if ``complaint`` is of the device.
  var errorOffset: UInt64 = 0
  /// Of a flush: ``UnitDurability/changes`` when the driver was given it.
  var covers: UInt64 = 0
  /// The client's name for it.
  var cookie: UInt64 = 0
  /// Bytes from the beginning of the unit.
  var offset: UInt64 = 0
  /// Bytes.
  var length: UInt32 = 0
  /// Bytes that were given to parts.
  var issued: UInt32 = 0
  /// What success is answered with.
  var answer = Answer.nothing
  /// Whether the client reads chunks.
  var isStructured = false
  /// BLOCK_STATUS: the state of the range, see ``AllocationExtent``.
  var allocation: UInt32 = 0
  /// Where it is in the ``RangeTable``, -1 if it is not.
  var range: Int32 = -1
  /// Older requests that it waits for.
  var blockers: Int32 = 0
  /// Counts accepted requests.
  var arrival: UInt64 = 0
  /// When it was accepted; 0 where it is answered without that, because it cannot be carried out.
  var accepted: Nanoseconds = 0

  /// First byte behind its range.
  var end: UInt64 { offset + UInt64(length) }
  /// Whether it changes what is read.
  var isChange: Bool { operation == .write || operation == .writeZeroes || operation == .discard }
}

/// A list of requests, linked through ``Request/next``.
struct RequestList {
  private(set) var head: Int32 = -1
  private var tail: Int32 = -1

  var isEmpty: Bool { head < 0 }

  mutating func append(_ index: Int32, in table: RequestTable) {
    table[index].next = -1
    if tail < 0 { head = index } else { table[tail].next = index }
    tail = index
  }

  mutating func removeFirst(in table: RequestTable) -> Int32 {
    let first = head
    head = table[first].next
    if head < 0 { tail = -1 }
    table[first].next = -1
    return first
  }
}

/// All requests there can be at one time, in memory that is made once. A request is an index.
///
/// A value without references, so that passing it on costs nothing; its owner deallocates it.
struct RequestTable {
  private struct Header {
    /// First of the unused requests, which are linked through ``Request/next``; -1 if there is none.
    var unused: Int32 = -1
    var count = 0
  }

  let capacity: Int
  private let entries: UnsafeMutablePointer<Request>
  private let header: UnsafeMutablePointer<Header>

  init(capacity: Int) {
    self.capacity = capacity
    entries = .allocate(capacity: capacity)
    entries.initialize(repeating: Request(), count: capacity)
    header = .allocate(capacity: 1)
    header.initialize(to: Header())
    for index in stride(from: Int32(capacity) - 1, through: 0, by: -1) {
      entries[Int(index)].next = header.pointee.unused
      header.pointee.unused = index
    }
  }

  func deallocate() {
    entries.deallocate()
    header.deallocate()
  }

  subscript(index: Int32) -> Request {
    @inline(__always) get { entries[Int(index)] }
    @inline(__always) nonmutating _modify { yield &entries[Int(index)] }
  }

  /// Requests in use.
  var count: Int { header.pointee.count }

  /// A fresh request, or nil where all are in use.
  func allocate() -> Int32? {
    let index = header.pointee.unused
    guard index >= 0 else { return nil }
    header.pointee.unused = entries[Int(index)].next
    header.pointee.count += 1
    entries[Int(index)] = Request()
    entries[Int(index)].state = .receiving
    return index
  }

  func free(_ index: Int32) {
    precondition(entries[Int(index)].state != .free, "freed a free request")
    entries[Int(index)].state = .free
    entries[Int(index)].next = header.pointee.unused
    header.pointee.unused = index
    header.pointee.count -= 1
  }
}
