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
  var agreement = Agreement()
  var token: EventLoop.Token?
  /// What the loop waits for.
  var events: Int32 = 0
  /// Bytes in the stage: what was received and not looked at yet is between the two.
  var stageStart = 0
  var stageEnd = 0
  /// Its latest command was a WRITE: what follows a header is payload, which is not to be staged.
  var isWriting = false
  /// Bytes of the payload that are here.
  var received = 0
  /// The request whose payload comes in, -1 if none.
  var receiving: Int32 = -1
  /// Bytes of a refused payload that are still to come, and what to answer then.
  var refusedBytes: UInt64 = 0
  var complaint = Complaint.none
  /// Requests of this connection that are not free.
  var requests: Int32 = 0
  /// Bytes of payload memory of its requests.
  var held = 0
  /// Orders those that wait for resources: first come, first served.
  var ticket: UInt64 = 0
  /// Replies to send; how many bytes of the first are sent.
  var replies = RequestList()
  var sent = 0
  /// The server's clock at the last byte in or out.
  var lastProgress: UInt32 = 0
  /// A heartbeat, and the bytes in or out since then.
  var windowStart: UInt32 = 0
  var windowBytes = 0
  /// The server's clock when it came.
  var since: UInt32 = 0
}

/// All connections there can be at one time, with a stage for each. A connection is an index.
///
/// A value without references, so that passing it on costs nothing; its owner deallocates it.
struct ConnectionTable {
  /// Bytes of a stage: several headers, so that a client with many requests under way is understood in few calls.
  static let stageSize = 16 * NBD.requestSize

  let capacity: Int
  private let entries: UnsafeMutablePointer<Connection>
  private let stages: UnsafeMutableRawPointer

  init(capacity: Int) {
    self.capacity = capacity
    entries = .allocate(capacity: capacity)
    entries.initialize(repeating: Connection(), count: capacity)
    stages = .allocate(byteCount: capacity * Self.stageSize, alignment: 8)
  }

  func deallocate() {
    entries.deinitialize(count: capacity)
    entries.deallocate()
    stages.deallocate()
  }

  subscript(index: Int32) -> Connection {
    @inline(__always) get { entries[Int(index)] }
    @inline(__always) nonmutating _modify { yield &entries[Int(index)] }
  }

  /// Where headers are collected: ``stageSize`` bytes.
  @inline(__always)
  func stage(_ index: Int32) -> UnsafeMutableRawPointer { stages + Int(index) * Self.stageSize }

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
