import Broker
import CBulkhead
import Glibc
import Platform
import Protocol

/// The NBD server: connections on one side, a ``Dispatcher`` on the other.
///
/// A client owns nothing but its connection. It may say anything, at any speed, and leave at any byte: the worst it gets
/// is to be hung up on, and nobody else notices. What it may take of what all share is bounded: requests by a limit for
/// each connection, payload memory by throwing out clients that stall while others wait for it.
///
/// Receiving is in `NBDServer+Receive.swift`, sending in `NBDServer+Send.swift`, who gets which memory in
/// `NBDServer+Sharing.swift`.
final class NBDServer {
  /// Requests that one connection may have under way. The kernel's client has 128.
  static let requestsPerConnection: Int32 = 128

  /// Heartbeats, ten seconds of them but at least ten, without a byte in or out after which a client is thrown out that
  /// holds payload memory others wait for, or is in the middle of its negotiation. A negotiation may take three times
  /// that, however busily the client haggles.
  let stallLimit: UInt32
  let loop: EventLoop
  let dispatcher: Dispatcher
  let allocator: PayloadAllocator
  let connections: ConnectionTable
  let payload: UnsafeMutableRawPointer
  let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 4096)
  let sendParts: SendParts
  /// Negotiations of the connections that are in that phase.
  var negotiations: [Negotiation?]
  private(set) var exports: [Export] = []
  private let limits: UnsafeMutablePointer<ExportLimits>
  /// Connections that have something new to send.
  private let dirty: UnsafeMutablePointer<Int32>
  private var dirtyCount = 0
  /// Connections that wait with ``Connection/Wait/resources``, or for their own limit.
  var waiting = 0
  var nextTicket: UInt64 = 0
  /// Something that a connection may wait for was freed.
  var hasFreed = false
  /// The connection that is being resumed, -1 if none, and whether none waits for longer.
  var resuming: Int32 = -1
  var isFirstInLine = false
  /// Bytes of payload memory that each connection can always have.
  let share: Int
  /// Bytes that connections can have beyond their shares, and those that they have.
  let commonMemory: Int
  var commonUsed = 0
  /// Counts heartbeats.
  var clock: UInt32 = 0
  private var listener: Int32 = -1
  private var listenerToken: EventLoop.Token?

  init(
    loop: EventLoop, dispatcher: Dispatcher, payload: UnsafeMutableRawBufferPointer, connections capacity: Int,
    heartbeatMilliseconds: UInt32
  ) {
    stallLimit = max(10, 10_000 / max(1, heartbeatMilliseconds))
    self.loop = loop
    self.dispatcher = dispatcher
    self.payload = payload.baseAddress!
    allocator = PayloadAllocator(size: payload.count)
    let page = PayloadAllocator.pageSize
    share = max(page, payload.count / 4 / capacity / page * page)
    commonMemory = max(page, payload.count - share * capacity)
    connections = ConnectionTable(capacity: capacity)
    negotiations = Array(repeating: nil, count: capacity)
    sendParts = SendParts()
    limits = .allocate(capacity: BlockUnit.maximumCount)
    limits.initialize(repeating: ExportLimits(), count: BlockUnit.maximumCount)
    dirty = .allocate(capacity: capacity)
  }

  deinit {
    connections.deallocate()
    limits.deallocate()
    dirty.deallocate()
    scratch.deallocate()
  }

  /// Bytes of the largest READ or WRITE: the largest extent that fits into what is common to all connections.
  var maximumPayload: Int { min(NBD.maximumPayload, allocator.largestExtent(within: commonMemory)) }

  /// Offers a unit, or offers it anew after it has changed.
  func setExport(_ export: Export, of unit: BlockUnit) {
    if let index = exports.firstIndex(where: { $0.unit == export.unit }) {
      exports[index] = export
    } else {
      exports.append(export)
    }
    limits[export.unit] = ExportLimits(
      size: export.size, blockSize: export.blockSize, maximumPayload: export.maximumPayload, flags: export.flags,
      hasForceUnitAccess: unit.features.contains(.forceUnitAccess),
      hasVolatileCache: unit.features.contains(.volatileCache))
  }

  @inline(__always)
  func limits(_ unit: UInt16) -> ExportLimits { limits[Int(unit)] }

  // MARK: Connections

  /// Takes clients from a listening socket.
  func listen(_ file: Int32) {
    listener = file
    listenerToken = loop.watch(file) { [unowned self] _ in self.acceptClients() }
  }

  private func acceptClients() {
    // A few at a time: the others are served in between.
    for _ in 0..<8 {
      let file = bh_accept(listener)
      if file == -EMFILE || file == -ENFILE, let listenerToken {
        // The socket would be reported ready for ever; it is looked at again with the next heartbeat.
        Log.error("no room for another file: a client has to wait")
        loop.setEvents(0, for: listenerToken)
      }
      guard file >= 0 else { return }
      if !addClient(file) {
        Log.warning("a client was turned away: \(connections.capacity) connections are open")
        Descriptor.close(file)
      }
    }
  }

  /// Takes a socket whose client begins with the negotiation. False where there is no room; the file is the caller's then.
  ///
  /// Those that were gone before it came are seen off first: what they have asked for is older than anything it may ask.
  func addClient(_ file: Int32) -> Bool {
    for index in 0..<Int32(connections.capacity) where connections[index].phase != .free {
      var state = pollfd(fd: connections[index].file, events: 0, revents: 0)
      if !connections[index].hasHungUp, bh_ppoll(&state, 1, 0) > 0 { serve(index, state.revents) }
    }
    guard let index = add(file) else { return false }
    connections[index].phase = .negotiating
    connections[index].isNegotiating = true
    negotiations[Int(index)] = Negotiation(exports: exports)
    watch(index)
    markDirty(index)
    return true
  }

  /// Takes a socket that is in transmission already: the other end is for the kernel.
  func addTransmission(_ file: Int32, unit: Int, isKernel: Bool, agreement: Agreement = []) -> Bool {
    guard let index = add(file) else { return false }
    connections[index].phase = .transmission
    connections[index].agreement = agreement
    connections[index].unit = UInt16(unit)
    connections[index].isKernel = isKernel
    watch(index)
    return true
  }

  private func add(_ file: Int32) -> Int32? {
    guard let index = connections.allocate() else { return nil }
    connections[index].file = file
    connections[index].lastProgress = clock
    connections[index].windowStart = clock
    connections[index].since = clock
    return index
  }

  @inline(never)
  private func watch(_ index: Int32) {
    connections[index].events = wantedEvents(index)
    // Called for each event: a checked reference would be counted each time. Connections end before the server does.
    let server = Unmanaged.passUnretained(self)
    connections[index].token = loop.watch(connections[index].file, events: connections[index].events) { events in
      server._withUnsafeGuaranteedRef { $0.serve(index, events) }
    }
  }

  private func serve(_ index: Int32, _ events: Int16) {
    let isGone = events & Int16(POLLHUP | POLLERR) != 0
    if isGone { connections[index].hasHungUp = true }
    if isGone || events & Int16(POLLOUT) != 0 {
      connections[index].isSendBlocked = false
      markDirty(index)
    }
    if connections[index].phase == .negotiating { negotiate(index) }
    if connections[index].phase == .transmission, connections[index].wait == .none { receive(index) }
    // Nobody waits for an answer, and what would be read later could undo what others write until then.
    if connections[index].hasHungUp, connections[index].wait != .none { return close(index) }
    settle(index)
  }

  /// What the loop is to wait for.
  private func wantedEvents(_ index: Int32) -> Int32 {
    let connection = connections[index]
    var events: Int32 = connection.isSendBlocked ? POLLOUT : 0
    switch connection.phase {
    case .negotiating: if !connection.isSendBlocked { events |= POLLIN }
    case .transmission: if connection.wait == .none { events |= POLLIN }
    case .draining, .free: break
    }
    return events
  }

  /// Brings the loop up to date with a connection, or ends it.
  func settle(_ index: Int32) {
    let connection = connections[index]
    guard connection.phase != .free else { return }
    if connection.phase == .draining {
      let isDone = connection.requests == 0 && (connection.isBroken || !connection.isNegotiating)
      if isDone || (connection.hasHungUp && !connection.isLeaving) { return close(index) }
    }
    let events = wantedEvents(index)
    if connection.hasHungUp, events & POLLIN == 0 {
      // poll(2) would report the hang-up for ever. It is watched again when there is something to do.
      if let token = connection.token { loop.remove(token) }
      connections[index].token = nil
    } else if let token = connection.token {
      guard events != connection.events else { return }
      connections[index].events = events
      loop.setEvents(events, for: token)
    } else {
      watch(index)
    }
  }

  /// Ends a connection, whatever it is doing.
  @inline(never)
  func close(_ index: Int32) {
    let connection = connections[index]
    if let token = connection.token { loop.remove(token) }
    Descriptor.close(connection.file)
    if connection.receiving >= 0 { release(connection.receiving) }
    while !connections[index].replies.isEmpty {
      release(connections[index].replies.removeFirst(in: dispatcher.requests))
    }
    dispatcher.forget(connection: index) { [self] request in release(request) }
    if connection.wait != .none { waiting -= 1 }
    commonUsed -= max(0, connections[index].held - share)
    if connection.isNegotiating { endNegotiation(index) }
    // It may still be in the list of those with something to send, and must not get into it twice.
    let isDirty = connections[index].isDirty
    connections[index] = Connection()
    connections[index].isDirty = isDirty
    if connection.isKernel { Log.info("a connection of the kernel's block device ended") }
  }

  @inline(never)
  func endNegotiation(_ index: Int32) {
    connections[index].isNegotiating = false
    negotiations[Int(index)] = nil
  }

  // MARK: What all share

  /// A request for a connection, or nil: it waits then.
  @inline(__always)
  func allocateRequest(_ index: Int32) -> Int32? {
    guard connections[index].requests < Self.requestsPerConnection else {
      suspend(index, .ownLimit)
      return nil
    }
    guard let request = dispatcher.requests.allocate() else {
      suspend(index, .resources)
      return nil
    }
    connections[index].requests += 1
    dispatcher.requests[request].connection = index
    dispatcher.requests[request].isStructured = connections[index].agreement.contains(.structuredReplies)
    return request
  }

  /// Gives a request and its payload back.
  func release(_ request: Int32) {
    let extent = dispatcher.requests[request].extent
    let connection = dispatcher.requests[request].connection
    if extent >= 0 {
      if connection >= 0 { changeHeld(connection, by: -allocator.size(of: extent)) }
      allocator.free(extent)
    }
    if connection >= 0 { connections[connection].requests -= 1 }
    dispatcher.requests.free(request)
    hasFreed = true
  }

  // MARK: Replies

  /// Moves what is done to its connection, and sends as much as the sockets take. Returns whether there was anything.
  func reply() -> Bool {
    var worked = false
    while let request = dispatcher.takeFinished() {
      worked = true
      let index = dispatcher.requests[request].connection
      if index < 0 {
        release(request)
      } else {
        dispatcher.requests[request].state = .replying
        connections[index].replies.append(request, in: dispatcher.requests)
        markDirty(index)
      }
    }
    while dirtyCount > 0 {
      worked = true
      dirtyCount -= 1
      let index = dirty[dirtyCount]
      connections[index].isDirty = false
      if connections[index].phase != .free, !connections[index].isSendBlocked {
        send(index)
        settle(index)
      }
    }
    return worked
  }

  func markDirty(_ index: Int32) {
    guard !connections[index].isDirty else { return }
    connections[index].isDirty = true
    dirty[dirtyCount] = index
    dirtyCount += 1
  }

  // MARK: Time, and the end

  /// Called with each heartbeat: clients that stall are thrown out if others wait for what they hold.
  func tick() {
    clock &+= 1
    if let listenerToken { loop.setEvents(POLLIN, for: listenerToken) }
    for index in 0..<Int32(connections.capacity) {
      let connection = connections[index]
      guard connection.phase != .free, !connection.isKernel else { continue }
      let isStill = clock &- connection.lastProgress >= stallLimit
      // One that waits for its turn cannot help it; one that neither reads nor finishes its sentence can.
      let holds = connection.isSendBlocked || connection.receiving >= 0
      let isSlow = isTooSlow(index, holds: holds)
      if holds, isStill || isSlow, isAnyWaiting(besides: index) {
        Log.warning("client \(index) stalls while others wait for memory: hanging up")
        close(index)
      } else if connection.isNegotiating, isStill || clock &- connection.since >= 3 * stallLimit {
        Log.info("client \(index) does not come to an end with its negotiation: hanging up")
        close(index)
      }
    }
  }

  /// Whether a client that holds more than its share has moved too little of it, in the time after which one that is silent
  /// stalls, to come to an end in three times that. A byte now and then is no progress.
  private func isTooSlow(_ index: Int32, holds: Bool) -> Bool {
    let connection = connections[index]
    let isOver = clock &- connection.windowStart >= stallLimit
    guard !holds || isOver else { return false }
    connections[index].windowStart = clock
    connections[index].windowBytes = 0
    return holds && connection.held > share && connection.windowBytes < connection.held / 3
  }

  /// A client has sent or taken bytes.
  @inline(__always)
  func progressed(_ index: Int32, _ bytes: Int) {
    connections[index].lastProgress = clock
    connections[index].windowBytes += bytes
  }

  /// Ends all connections, after one attempt to send what there is to say.
  func shutdown() {
    if let listenerToken { loop.remove(listenerToken) }
    listenerToken = nil
    if listener >= 0 { Descriptor.close(listener) }
    listener = -1
    dispatcher.abandon()
    _ = reply()
    for index in 0..<Int32(connections.capacity) where connections[index].phase != .free { close(index) }
  }
}
