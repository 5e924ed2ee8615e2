import CBulkhead
import Glibc

/// Memory for one sendmsg(2): the parts and the headers of several replies.
final class SendParts {
  /// Replies that go out in one call.
  static let replies = 16
  let parts = UnsafeMutablePointer<bh_part>.allocate(capacity: 2 * replies)
  let headers = UnsafeMutableRawPointer.allocate(byteCount: replies * Reply.largestHeader, alignment: 8)

  deinit {
    parts.deallocate()
    headers.deallocate()
  }
}

/// From payload memory to the socket. What a socket does not take stays where it is until it does.
extension NBDServer {
  /// Sends as much as the socket takes.
  func send(_ index: Int32) {
    guard !connections[index].isNegotiating || sendNegotiation(index) else { return }
    while !connections[index].replies.isEmpty {
      if connections[index].isBroken { return dropReplies(index) }
      let count = gather(index)
      let sent = bh_send_parts(connections[index].file, sendParts.parts, count)
      if sent < 0 { return sendFailed(index, -sent) }
      progressed(index, Int(sent))
      retire(index, sent)
    }
  }

  /// Fills ``sendParts`` from the connection's replies. Returns the number of parts.
  private func gather(_ index: Int32) -> Int {
    var skip = connections[index].sent
    var number = connections[index].replies.head
    var parts = 0
    var replies = 0
    while number >= 0, replies < SendParts.replies {
      let request = dispatcher.requests[number]
      let header = sendParts.headers + replies * Reply.largestHeader
      Reply.writeHeader(request, at: header)
      add(header, Reply.headerSize(request), &skip, &parts)
      let length = Reply.payloadSize(request)
      if length > 0 { add(payload + PayloadAllocator.offset(request.extent), length, &skip, &parts) }
      number = request.next
      replies += 1
    }
    return parts
  }

  @inline(__always)
  private func add(_ memory: UnsafeMutableRawPointer, _ length: Int, _ skip: inout Int, _ parts: inout Int) {
    let skipped = min(skip, length)
    skip -= skipped
    guard skipped < length else { return }
    sendParts.parts[parts] = bh_part(base: memory + skipped, length: length - skipped)
    parts += 1
  }

  /// Frees the replies that are sent whole.
  private func retire(_ index: Int32, _ sent: Int) {
    var sent = sent + connections[index].sent
    while !connections[index].replies.isEmpty {
      let request = dispatcher.requests[connections[index].replies.head]
      let size = Reply.headerSize(request) + Reply.payloadSize(request)
      guard sent >= size else { break }
      sent -= size
      release(connections[index].replies.removeFirst(in: dispatcher.requests))
    }
    connections[index].sent = sent
  }

  private func dropReplies(_ index: Int32) {
    while !connections[index].replies.isEmpty {
      release(connections[index].replies.removeFirst(in: dispatcher.requests))
    }
    connections[index].sent = 0
  }

  /// Sends what the negotiation has to say. False: not all of it.
  @inline(never)
  private func sendNegotiation(_ index: Int32) -> Bool {
    guard let negotiation = negotiations[Int(index)] else { return true }
    while !negotiation.output.bytes.isEmpty {
      let sent = negotiation.output.bytes.withUnsafeBytes { bytes in
        var part = bh_part(base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), length: bytes.count)
        return bh_send_parts(connections[index].file, &part, 1)
      }
      if sent < 0 {
        sendFailed(index, -sent)
        return false
      }
      connections[index].lastProgress = clock
      negotiation.output.removeFirst(sent)
    }
    if connections[index].phase != .negotiating { endNegotiation(index) }
    return true
  }

  private func sendFailed(_ index: Int32, _ error: Int) {
    if error == Int(EAGAIN) || error == Int(EINTR) || error == Int(ENOBUFS) {
      connections[index].isSendBlocked = true
    } else {
      breakOff(index)
    }
  }

  /// Gone, or gone half: what it has asked for is still carried out, but nobody is told.
  @inline(never)
  private func breakOff(_ index: Int32) {
    connections[index].isBroken = true
    if connections[index].isNegotiating { endNegotiation(index) }
    if connections[index].phase == .negotiating { connections[index].phase = .draining }
    dropReplies(index)
  }
}
