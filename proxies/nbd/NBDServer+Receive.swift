import CBulkhead
import Glibc
import Protocol

/// From the socket into payload memory: a state machine for each connection that can stop at any byte.
///
/// Headers go over a small stage. Payload goes straight to where the device reads it; only the few bytes that came in
/// with a header, when a client changes from reading to writing, are moved there from the stage.
extension NBDServer {
  /// Calls of recvmsg(2) that one client gets in a row before the others have their turn.
  private static var turn: Int { 64 }

  /// Takes what the client has sent, until there is nothing, it has to wait, or its turn is over.
  func receive(_ index: Int32) {
    var left = Self.turn
    while true {
      // What is staged comes first: nothing would wake us for it.
      guard actOnStage(index) else { return }
      // What somebody who is gone has left behind has an end, and is not to come after what others say from now on.
      guard left > 0 || connections[index].hasHungUp else { return }
      left -= 1
      let wanted = prepareParts(index)
      let got = bh_receive_parts(connections[index].file, sendParts.parts, 2)
      guard got > 0 else {
        if got != -Int(EAGAIN) && got != -Int(EINTR) { ended(index) }
        return
      }
      progressed(index, got)
      arrived(index, got)
      // Fewer bytes than there was room for: the socket is empty, and asking again would only be told so.
      if got < wanted { left = 0 }
    }
  }

  /// Where the next bytes go: the rest of a payload, then the stage. Returns for how many there is room.
  private func prepareParts(_ index: Int32) -> Int {
    let connection = connections[index]
    var payloadPart = bh_part(base: nil, length: 0)
    switch connection.incoming {
    case .header: break
    case .payload:
      let request = dispatcher.requests[connection.receiving]
      payloadPart.base = payload + PayloadAllocator.offset(request.extent) + connection.received
      payloadPart.length = Int(request.length) - connection.received
    case .refused:
      payloadPart.base = scratch.baseAddress
      payloadPart.length = Int(min(connection.refusedBytes, UInt64(scratch.count)))
    }
    // Behind a refused payload that does not fit into one call comes more of it, no header.
    let isMore = connection.incoming == .refused && connection.refusedBytes > UInt64(scratch.count)
    // Behind a writer's header comes payload, which is to go to its place and not over the stage.
    let room = isMore ? 0 : (connection.isWriting ? NBD.requestSize : ConnectionTable.stageSize) - connection.stageEnd
    sendParts.parts[0] = payloadPart
    sendParts.parts[1] = bh_part(base: connections.stage(index) + connection.stageEnd, length: room)
    return payloadPart.length + room
  }

  /// Accounts for bytes that are where ``prepareParts(_:)`` has put them.
  private func arrived(_ index: Int32, _ count: Int) {
    let forPayload = min(count, sendParts.parts[0].length)
    connections[index].stageEnd += count - forPayload
    switch connections[index].incoming {
    case .header: break
    case .payload:
      connections[index].received += forPayload
      finishPayload(index)
    case .refused:
      connections[index].refusedBytes -= UInt64(forPayload)
      finishRefused(index)
    }
  }

  /// Acts on all headers in the stage. False: the connection waits, or does not receive any more.
  private func actOnStage(_ index: Int32) -> Bool {
    while connections[index].incoming == .header {
      let staged = connections[index].stageEnd - connections[index].stageStart
      if staged < NBD.requestSize {
        // Make room for the rest.
        if connections[index].stageStart > 0 {
          let stage = connections.stage(index)
          if staged > 0 { memmove(stage, stage + connections[index].stageStart, staged) }
          connections[index].stageStart = 0
          connections[index].stageEnd = staged
        }
        return true
      }
      guard begin(index) else { return false }
    }
    // A payload is expected, and the stage was emptied for it.
    connections[index].stageStart = 0
    connections[index].stageEnd = 0
    return true
  }

  private func finishPayload(_ index: Int32) {
    let number = connections[index].receiving
    guard connections[index].received == Int(dispatcher.requests[number].length) else { return }
    connections[index].receiving = -1
    connections[index].incoming = .header
    dispatcher.accept(number)
  }

  private func finishRefused(_ index: Int32) {
    guard connections[index].refusedBytes == 0 else { return }
    let number = connections[index].receiving
    connections[index].receiving = -1
    connections[index].incoming = .header
    dispatcher.answer(number, connections[index].complaint)
  }

  /// Moves payload that came in with its header to its place.
  private func unstagePayload(_ index: Int32, _ request: Request) {
    let start = connections[index].stageStart
    let count = min(connections[index].stageEnd - start, Int(request.length))
    if count > 0 {
      memcpy(payload + PayloadAllocator.offset(request.extent), connections.stage(index) + start, count)
      connections[index].stageStart += count
      connections[index].received = count
    }
    finishPayload(index)
  }

  /// The client sends nothing more.
  @inline(never)
  private func ended(_ index: Int32) {
    let connection = connections[index]
    // In the middle of a sentence, or gone altogether: nobody waits for an answer. Otherwise it may only have shut down
    // its sending half, and reads on.
    let isComplete = connection.incoming == .header && connection.stageStart == connection.stageEnd
    guard isComplete, !connection.hasHungUp, connection.requests > 0 else { return close(index) }
    connections[index].phase = .draining
  }

  /// Acts on the header at the start of the stage. False: the connection waits, or does not receive any more.
  private func begin(_ index: Int32) -> Bool {
    guard let header = RequestHeader(connections.stage(index) + connections[index].stageStart) else {
      close(index)
      return false
    }
    let connection = connections[index]
    switch RequestVerdict(header, limits(connection.unit), connection.agreement) {
    case .disconnect:
      connections[index].phase = .draining
      connections[index].isLeaving = true
      return false
    case .done:
      guard let request = allocateRequest(index, header) else { return false }
      if header.command == NBD.Command.read { dispatcher.requests[request].answer = .data }
      dispatcher.answer(request, .none)
    case .report(let extent):
      guard let request = allocateRequest(index, header) else { return false }
      dispatcher.requests[request].answer = .extent
      dispatcher.requests[request].length = extent.length
      dispatcher.requests[request].allocation = extent.state
      dispatcher.answer(request, .none)
    case .refuse(let complaint):
      guard let request = allocateRequest(index, header) else { return false }
      if header.command == NBD.Command.write, header.length > 0 {
        refusePayload(index, header, request, complaint)
      } else {
        dispatcher.answer(request, complaint)
      }
    case .refuseAndEnd(let complaint):
      guard let request = allocateRequest(index, header) else { return false }
      dispatcher.answer(request, complaint)
      connections[index].phase = .draining
      return false
    case .carryOut(let operation, let flags, let flushAfter):
      return begin(index, header, operation, flags, flushAfter: flushAfter)
    }
    return true
  }

  /// A request that needs nothing from the driver: its header is done with.
  private func allocateRequest(_ index: Int32, _ header: RequestHeader) -> Int32? {
    guard let request = allocateRequest(index) else { return nil }
    dispatcher.requests[request].cookie = header.cookie
    connections[index].stageStart += NBD.requestSize
    return request
  }

  /// The payload comes all the same; it is taken, and then the client is told.
  private func refusePayload(_ index: Int32, _ header: RequestHeader, _ request: Int32, _ complaint: Complaint) {
    connections[index].isWriting = true
    connections[index].receiving = request
    connections[index].incoming = .refused
    let staged = connections[index].stageEnd - connections[index].stageStart
    let here = min(UInt64(staged), UInt64(header.length))
    connections[index].stageStart += Int(here)
    connections[index].refusedBytes = UInt64(header.length) - here
    connections[index].complaint = complaint
    finishRefused(index)
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
    if operation == .read { request.answer = .data }
    dispatcher.requests[number] = request
    connections[index].stageStart += NBD.requestSize
    connections[index].isWriting = operation == .write
    if operation == .write {
      connections[index].receiving = number
      connections[index].incoming = .payload
      connections[index].received = 0
      unstagePayload(index, request)
    } else {
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
  @inline(never)
  func negotiate(_ index: Int32) {
    guard let negotiation = negotiations[Int(index)] else { return }
    while connections[index].phase == .negotiating,
      negotiation.output.bytes.isEmpty || !connections[index].isSendBlocked
    {
      let room = min(negotiation.room, scratch.count)
      let got = bh_receive_bytes(connections[index].file, scratch.baseAddress, room)
      guard got > 0 else {
        if got != -Int(EAGAIN) && got != -Int(EINTR) { close(index) }
        return
      }
      connections[index].lastProgress = clock
      let outcome = negotiation.take(UnsafeRawBufferPointer(rebasing: scratch[..<got]))
      markDirty(index)
      switch outcome {
      case .proceed: continue
      case .serve(let unit, let agreement):
        connections[index].unit = UInt16(unit)
        connections[index].agreement = agreement
        connections[index].phase = .transmission
      case .hangUp:
        connections[index].phase = .draining
      }
    }
  }
}
