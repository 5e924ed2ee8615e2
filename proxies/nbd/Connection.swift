import Platform

/// One client: a socket, and how far it is with what it says and what it is told.
struct Connection {
  enum Phase: UInt8 {
    case free
    case negotiating
    case transmission
    /// Nothing more is read; what is under way is answered, then it ends.
    case draining
  }

  /// What the next bytes of the socket are, in transmission.
  enum Incoming: UInt8 {
    case header
    /// Payload of the WRITE in ``receiving``.
    case payload
    /// Payload of a WRITE that was refused.
    case refused
  }

  /// Why a complete header is not acted on yet.
  enum Wait: UInt8 {
    case none
    /// This client has as many requests under way as one may.
    case ownLimit
    /// Payload memory or requests have run out.
    case resources
  }

  var phase = Phase.free
  var incoming = Incoming.header
  var wait = Wait.none
  /// The kernel's NBD client: trusted to read its replies, so never thrown out for being slow.
  var isKernel = false
  /// Replies cannot be delivered; what comes in is still taken.
  var isBroken = false
  /// The other end closed its socket altogether.
  var hasHungUp = false
  /// It said DISC: what it asked for before is carried out even if it does not wait for it.
  var isLeaving = false
  /// The socket did not take all that there was to send.
  var isSendBlocked = false
  var isDirty = false
  /// It has a negotiation, or what one had to say is not all sent.
  var isNegotiating = false
  var file: Int32 = -1
  var unit: UInt16 = 0
  var token: EventLoop.Token?
  /// What the loop waits for.
  var events: Int32 = 0
  /// Bytes of the header or payload that are here.
  var received = 0
  /// The request whose payload comes in, -1 if none.
  var receiving: Int32 = -1
  /// Bytes of a refused payload that are still to come, and what to answer then.
  var refusedBytes: UInt64 = 0
  var refusedError: UInt32 = 0
  /// Requests of this connection that are not free.
  var requests: Int32 = 0
  /// Orders those that wait for resources: first come, first served.
  var ticket: UInt64 = 0
  /// Replies to send; how many bytes of the first are sent.
  var replies = RequestList()
  var sent = 0
  /// The server's clock at the last byte in or out.
  var lastProgress: UInt32 = 0
}

/// All connections there can be at one time, with a header buffer for each. A connection is an index.
///
/// A value without references, so that passing it on costs nothing; its owner deallocates it.
struct ConnectionTable {
  let capacity: Int
  private let entries: UnsafeMutablePointer<Connection>
  private let headers: UnsafeMutableRawPointer
  /// Bytes from one header to the next.
  private static let headerStride = 32

  init(capacity: Int) {
    self.capacity = capacity
    entries = .allocate(capacity: capacity)
    entries.initialize(repeating: Connection(), count: capacity)
    headers = .allocate(byteCount: capacity * Self.headerStride, alignment: 8)
  }

  func deallocate() {
    entries.deinitialize(count: capacity)
    entries.deallocate()
    headers.deallocate()
  }

  subscript(index: Int32) -> Connection {
    @inline(__always) get { entries[Int(index)] }
    @inline(__always) nonmutating _modify { yield &entries[Int(index)] }
  }

  /// Where the header of the next request is collected.
  func header(_ index: Int32) -> UnsafeMutableRawPointer { headers + Int(index) * Self.headerStride }

  /// A free entry.
  func allocate() -> Int32? {
    for index in 0..<Int32(capacity) where entries[Int(index)].phase == .free { return index }
    return nil
  }

  /// Entries in use.
  var count: Int {
    var count = 0
    for index in 0..<capacity where entries[index].phase != .free { count += 1 }
    return count
  }
}
