import CBulkhead
import Glibc
import Protocol

/// From the socket into payload memory: a state machine for each connection that can stop at any byte.
extension NBDServer {
  /// Calls of recv(2) that one client gets in a row before the others have their turn.
  private static var turn: Int { 64 }

  /// Takes what the client has sent, until there is nothing, it has to wait, or its turn is over.
  func receive(_ index: Int32) {
    var left = Self.turn
    // A header may be there already, from before a wait.
    if connections[index].incoming == .header, connections[index].received == NBD.requestSize {
      guard begin(index) else { return }
    }
    while left > 0 {
      left -= 1
      switch connections[index].incoming {
      case .header:
        let received = connections[index].received
        guard take(index, connections.header(index) + received, NBD.requestSize - received) else { return }
        if connections[index].received == NBD.requestSize { guard begin(index) else { return } }
      case .payload:
        let request = connections[index].receiving
        let received = connections[index].received
        let memory = payload + PayloadAllocator.offset(dispatcher.requests[request].extent)
        let length = Int(dispatcher.requests[request].length)
        guard take(index, memory + received, length - received) else { return }
        if connections[index].received == length {
          connections[index].receiving = -1
          expectHeader(index)
          dispatcher.accept(request)
        }
      case .refused:
        let wanted = Int(min(connections[index].refusedBytes, UInt64(scratch.count)))
        connections[index].received = 0
        guard take(index, scratch.baseAddress!, wanted) else { return }
        connections[index].refusedBytes -= UInt64(connections[index].received)
        if connections[index].refusedBytes == 0 {
          let request = connections[index].receiving
          connections[index].receiving = -1
          expectHeader(index)
          dispatcher.refuse(request, error: connections[index].refusedError)
        }
      }
    }
  }

  private func expectHeader(_ index: Int32) {
    connections[index].incoming = .header
    connections[index].received = 0
  }

  /// Receives at most `count` bytes. False: there is nothing now, or the connection is at its end.
  private func take(_ index: Int32, _ memory: UnsafeMutableRawPointer, _ count: Int) -> Bool {
    let got = bh_receive_bytes(connections[index].file, memory, count)
    if got > 0 {
      connections[index].received += got
      connections[index].lastProgress = clock
      return true
    }
    if got == -Int(EAGAIN) || got == -Int(EINTR) { return false }
    ended(index)
    return false
  }

  /// The client sends nothing more.
  private func ended(_ index: Int32) {
    let connection = connections[index]
    // In the middle of a sentence, or gone altogether: nobody waits for an answer. Otherwise it may only have shut down
    // its sending half, and reads on.
    let isComplete = connection.incoming == .header && connection.received == 0
    guard isComplete, !connection.hasHungUp, connection.requests > 0 else { return close(index) }
    connections[index].phase = .draining
  }

  /// Acts on a complete header. False: the connection waits, or does not receive any more.
  private func begin(_ index: Int32) -> Bool {
    guard let header = RequestHeader(connections.header(index)) else {
      close(index)
      return false
    }
    switch RequestVerdict(header, limits(connections[index].unit)) {
    case .disconnect:
      connections[index].phase = .draining
      connections[index].isLeaving = true
      return false
    case .answer(let error):
      guard let request = allocateRequest(index) else { return false }
      dispatcher.requests[request].cookie = header.cookie
      if header.command == NBD.Command.write, header.length > 0 {
        // The payload comes all the same.
        connections[index].receiving = request
        connections[index].incoming = .refused
        connections[index].refusedBytes = UInt64(header.length)
        connections[index].refusedError = error
        connections[index].received = 0
      } else {
        expectHeader(index)
        dispatcher.refuse(request, error: error)
      }
    case .carryOut(let operation, let flags, let flushAfter):
      return begin(index, header, operation, flags, flushAfter: flushAfter)
    }
    return true
  }

  private func begin(
    _ index: Int32, _ header: RequestHeader, _ operation: BlockClass.RequestType, _ flags: BlockClass.RequestFlags,
    flushAfter: Bool
  ) -> Bool {
    guard let number = allocateRequest(index) else { return false }
    var extent: Int32 = -1
    if operation == .read || operation == .write {
      guard let pages = allocatePayload(index, Int(header.length)) else {
        giveBack(number)
        return false
      }
      extent = pages
    }
    var request = dispatcher.requests[number]
    request.operation = operation
    request.flags = flags
    request.flushAfter = flushAfter
    request.unit = connections[index].unit
    request.extent = extent
    request.cookie = header.cookie
    request.offset = header.offset
    request.length = header.length
    request.repliesWithPayload = operation == .read
    dispatcher.requests[number] = request
    if operation == .write {
      connections[index].receiving = number
      connections[index].incoming = .payload
      connections[index].received = 0
    } else {
      expectHeader(index)
      dispatcher.accept(number)
    }
    return true
  }

  /// A request that came to nothing; unlike ``release(_:)`` it frees nothing that anybody could wait for.
  private func giveBack(_ request: Int32) {
    connections[dispatcher.requests[request].connection].requests -= 1
    dispatcher.requests.free(request)
  }

  // MARK: Negotiation

  /// Takes what the client says before transmission. A client that does not read its answers is not listened to.
  func negotiate(_ index: Int32) {
    guard let negotiation = negotiations[Int(index)] else { return }
    while connections[index].phase == .negotiating,
      negotiation.output.bytes.isEmpty || !connections[index].isSendBlocked
    {
      let room = min(negotiation.room, scratch.count)
      connections[index].received = 0
      guard take(index, scratch.baseAddress!, room) else { return }
      let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<connections[index].received])
      connections[index].received = 0
      let outcome = negotiation.take(bytes)
      markDirty(index)
      switch outcome {
      case .proceed: continue
      case .serve(let unit):
        connections[index].unit = UInt16(unit)
        connections[index].phase = .transmission
      case .hangUp:
        connections[index].phase = .draining
      }
    }
  }
}
