/// Payload memory, and who waits for it.
///
/// A quarter is divided into shares, one for each connection there can be, so that a client which does not read its
/// replies, or does not send what it has announced, never holds up another's small requests. The rest is common: who
/// came first gets it first.
extension NBDServer {
  /// Payload memory for a connection, or nil: it waits then.
  @inline(__always)
  func allocatePayload(_ index: Int32, _ bytes: Int) -> Int32? {
    let held = connections[index].held + allocator.size(for: bytes)
    let isInTurn = waiting == 0 || (index == resuming && isFirstInLine)
    let isPermitted =
      held <= share
      || (isInTurn && commonUsed + common(held) - common(held - allocator.size(for: bytes)) <= commonMemory)
    guard isPermitted, let extent = allocator.allocate(bytes) else {
      suspend(index, .resources)
      return nil
    }
    changeHeld(index, by: allocator.size(of: extent))
    return extent
  }

  /// Bytes of `held` that are beyond a share.
  @inline(__always)
  private func common(_ held: Int) -> Int { max(0, held - share) }

  @inline(__always)
  func changeHeld(_ index: Int32, by bytes: Int) {
    let before = common(connections[index].held)
    connections[index].held += bytes
    commonUsed += common(connections[index].held) - before
  }

  func suspend(_ index: Int32, _ wait: Connection.Wait) {
    if connections[index].wait == .none {
      waiting += 1
      // One that is resumed and has to wait on keeps its place.
      if index != resuming {
        connections[index].ticket = nextTicket
        nextTicket += 1
      }
    }
    connections[index].wait = wait
  }

  /// Lets those go on that wait for what was freed, each once, in the order in which they came. Returns whether any did.
  func resume() -> Bool {
    guard hasFreed, waiting > 0 else { return false }
    hasFreed = false
    var worked = false
    for index in 0..<Int32(connections.capacity) where connections[index].wait == .ownLimit {
      if connections[index].requests < Self.requestsPerConnection { worked = resume(index) || worked }
    }
    isFirstInLine = true
    var ticket: UInt64 = 0
    while let index = firstWaiting(from: ticket) {
      ticket = connections[index].ticket + 1
      // Behind one that has to wait on the others get no more than their shares.
      if resume(index) { worked = true } else { isFirstInLine = false }
    }
    isFirstInLine = false
    return worked
  }

  private func resume(_ index: Int32) -> Bool {
    resuming = index
    connections[index].wait = .none
    waiting -= 1
    receive(index)
    resuming = -1
    let goesOn = connections[index].phase != .transmission || connections[index].wait == .none
    settle(index)
    return goesOn
  }

  private func firstWaiting(from ticket: UInt64) -> Int32? {
    var first: Int32?
    for index in 0..<Int32(connections.capacity) where connections[index].wait == .resources {
      guard connections[index].ticket >= ticket else { continue }
      if first.map({ connections[index].ticket < connections[$0].ticket }) ?? true { first = index }
    }
    return first
  }

  /// Whether anybody else waits for what a connection holds.
  func isAnyWaiting(besides index: Int32) -> Bool {
    for other in 0..<Int32(connections.capacity) where other != index {
      if connections[other].wait == .resources { return true }
    }
    return false
  }
}
