import Platform
import Protocol
import Testing

@testable import NBDProxy

/// What overlapping requests may rely on (see ``RangeTable``).
@Suite struct OrderTests {
  private func block(_ value: UInt8, _ count: Int = 512) -> [UInt8] { [UInt8](repeating: value, count: count) }

  private func expectNothingLeft(_ rig: Rig) {
    #expect(rig.proxy.dispatcher.requests.count == 0)
    #expect(rig.proxy.dispatcher.ranges.count == 0)
    #expect(rig.proxy.server.allocator.freePages == rig.payload.count / 4096)
  }

  /// The hazard: a write that a dropped connection left with the driver, and a newer one after reconnecting.
  @Test func aWriteOfADroppedConnectionDoesNotLandOnANewerOne() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let first = try rig.client()
    first.write(1, 0, block(1, 4096))
    try rig.settle()
    #expect(driver.held.count == 1)
    first.close()
    let second = try rig.client()
    second.write(2, 1024, block(2))
    second.read(3, 2048, 512)
    second.write(4, 8192, block(4))
    try rig.settle()
    #expect(driver.held.map(\.sector) == [0, 16], "what overlaps waits, nothing else does")
    try driver.release()
    try rig.settle()
    #expect(driver.held.count == 2)
    driver.holds = false
    try driver.release()
    try rig.settle()
    let replies = try TestReply.parse(second.receive()!, lengths: [3: 512])
    #expect(replies.map(\.cookie).sorted() == [2, 3, 4])
    #expect(replies.first { $0.cookie == 3 }?.payload == block(1), "what is read stays")
    #expect(rig.disk.bytes[1024..<1536] == block(2)[...])
    expectNothingLeft(rig)
  }

  /// The same with a driver that dies in between.
  @Test func aReplayedWriteOfADroppedConnectionDoesNotLandOnANewerOne() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let first = try rig.client()
    first.write(1, 0, block(1))
    try rig.settle()
    first.close()
    let second = try rig.client()
    second.write(2, 0, block(2))
    try rig.settle()
    rig.killDriver()
    let next = try rig.startDriver()
    try rig.settle()
    #expect(next.taken.map(\.type) == [.write, .write])
    #expect(try TestReply.parse(second.receive()!).map(\.cookie) == [2])
    #expect(rig.disk.bytes[0] == 2)
    expectNothingLeft(rig)
  }

  /// What a client that is gone has left in its socket is older than what the next one asks.
  @Test func aNewClientComesAfterWhatWasLeftInASocket() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let first = try rig.client()
    first.write(1, 0, block(1))
    first.send(TestClient.request(NBD.Command.disconnect, cookie: 2))
    first.close()
    // The server has seen nothing of it yet.
    let second = try rig.negotiatingClient()
    second.send(NegotiationTests.flags + NegotiationTests.option(NBD.Option.exportName, []))
    second.write(3, 0, block(3))
    try rig.settle()
    #expect(driver.held.count == 1)
    driver.holds = false
    try driver.release()
    try rig.settle()
    #expect(rig.disk.bytes[0] == 3)
    expectNothingLeft(rig)
  }

  /// One that is gone and had to wait for its turn is not read on later.
  @Test func whatADroppedClientHadNoTurnForIsForgotten() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let first = try rig.client()
    // In one piece: a socket takes fewer small messages than large ones.
    first.send(
      (0..<UInt64(NBDServer.requestsPerConnection)).flatMap {
        TestClient.request(NBD.Command.read, cookie: $0, length: 512)
      } + TestClient.request(NBD.Command.write, cookie: 500, length: 512, payload: block(1)))
    try rig.settle()
    first.close()
    try rig.settle()
    #expect(rig.proxy.server.connections.count == 0)
    driver.holds = false
    try driver.release()
    try rig.settle()
    #expect(rig.disk.bytes[0] == 0)
    expectNothingLeft(rig)
  }

  /// An answered write is never undone by an older one that was not answered, on any connection.
  @Test func anAnsweredWriteWasNotOvertaken() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let (first, second) = (try rig.client(), try rig.client())
    first.write(1, 0, block(1))
    try rig.settle()
    second.write(2, 0, block(2))
    try rig.settle()
    #expect(driver.held.count == 1)
    rig.killDriver()
    let next = try rig.startDriver()
    next.holds = true
    try rig.settle()
    #expect(next.held.count == 1, "replay does not let the second go before the first")
    #expect(second.receive() == [])
    next.holds = false
    try next.release()
    try rig.settle()
    #expect(try TestReply.parse(first.receive()!).map(\.cookie) == [1])
    #expect(try TestReply.parse(second.receive()!).map(\.cookie) == [2])
    #expect(rig.disk.bytes[0] == 2)
  }

  @Test func readsDoNotHoldUpEachOtherOrWritesElsewhere() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let client = try rig.client()
    client.read(1, 0, 4096)
    client.read(2, 0, 4096)
    client.write(3, 4096, block(1))
    client.send(TestClient.request(NBD.Command.flush, cookie: 4))
    try rig.settle()
    #expect(driver.held.map(\.type) == [.read, .read, .write, .flush])
  }

  /// A device may change a block while it reads it for another request: then it would be read half old, half new.
  @Test(arguments: [NBD.Command.trim, NBD.Command.writeZeroes, NBD.Command.write])
  func aChangeWaitsForTheReadsItOverlaps(command: UInt16) throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let (first, second) = (try rig.client(), try rig.client())
    first.read(1, 0, 1024)
    first.read(2, 512, 1024)
    try rig.settle()
    let payload = command == NBD.Command.write ? block(3) : []
    second.send(TestClient.request(command, cookie: 3, offset: 512, length: 512, payload: payload))
    // It waits for the change, not for the reads.
    second.read(4, 512, 512)
    try rig.settle()
    #expect(driver.held.map(\.sector) == [0, 1], "both reads are under way")
    rig.killDriver()
    let next = try rig.startDriver()
    next.holds = true
    try rig.settle()
    #expect(next.held.map(\.type) == [.read, .read], "also with the next driver")
    try next.release()
    try rig.settle()
    #expect(next.held.count == 1)
    #expect(next.held[0].type != .read)
    next.holds = false
    try next.release()
    try rig.settle()
    #expect(try TestReply.parse(first.receive()!, lengths: [1: 1024, 2: 1024]).map(\.cookie).sorted() == [1, 2])
    #expect(try TestReply.parse(second.receive()!, lengths: [4: 512]).map(\.cookie) == [3, 4])
    expectNothingLeft(rig)
  }

  /// A read of somebody who is gone is waited for while the driver has it, and not otherwise.
  @Test func aChangeWaitsForAReadOfADroppedConnection() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let (first, second) = (try rig.client(), try rig.client())
    first.read(1, 0, 512)
    try rig.settle()
    first.close()
    second.write(2, 0, block(2))
    try rig.settle()
    #expect(driver.held.map(\.type) == [.read])
    driver.holds = false
    try driver.release()
    try rig.settle()
    #expect(try TestReply.parse(second.receive()!).map(\.cookie) == [2])
    expectNothingLeft(rig)
  }

  @Test func everyChangeCounts() throws {
    for command in [NBD.Command.trim, NBD.Command.writeZeroes, NBD.Command.write] {
      let rig = try Rig()
      let driver = try rig.startDriver()
      driver.holds = true
      let client = try rig.client()
      let payload = command == NBD.Command.write ? block(1, 1024) : []
      client.send(TestClient.request(command, cookie: 1, offset: 1024, length: 1024, payload: payload))
      // Before, behind, and over its edges.
      for (cookie, offset): (UInt64, UInt64) in [(2, 512), (3, 2048), (4, 1024), (5, 1536)] {
        client.read(cookie, offset, 512)
      }
      try rig.settle()
      #expect(driver.held.dropFirst().map(\.sector) == [1, 4])
      try driver.release()
      try rig.settle()
      #expect(driver.held.map(\.sector) == [2, 3])
    }
  }

  /// Units do not share blocks.
  @Test func overlapIsOfOneUnit() {
    let requests = RequestTable(capacity: 4)
    let ranges = RangeTable(capacity: 4)
    defer {
      requests.deallocate()
      ranges.deallocate()
    }
    let index = requests.allocate()!
    requests[index].operation = .write
    requests[index].length = 512
    ranges.insert(index, in: requests)
    var other = requests[index]
    #expect(ranges.block(other) == 1)
    other.unit = 1
    #expect(ranges.block(other) == 0)
    #expect(ranges.remove(index, in: requests))
    #expect(ranges.count == 0)
  }

  /// A flush on one connection covers what was answered on another: it reaches the device after it.
  @Test func aFlushCoversAllConnections() throws {
    let rig = try Rig()
    try rig.startDriver()
    let (first, second) = (try rig.client(), try rig.client())
    first.write(1, 0, block(7))
    try rig.settle()
    #expect(try TestReply.parse(first.receive()!).map(\.error) == [0])
    #expect(rig.disk.durable[0] == 0)
    second.send(TestClient.request(NBD.Command.flush, cookie: 2))
    try rig.settle()
    #expect(try TestReply.parse(second.receive()!).map(\.error) == [0])
    #expect(rig.disk.durable[0] == 7)
  }

  @Test func blockedRequestsEndWithTheServer() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let client = try rig.client()
    for number in 1...5 { client.write(UInt64(number), 0, block(UInt8(number))) }
    try rig.settle()
    rig.killDriver()
    rig.proxy.shutdown()
    let replies = try TestReply.parse(client.receive()!)
    #expect(replies.map(\.error) == [108, 108, 108, 108, 108])
    expectNothingLeft(rig)
  }

  /// Clients that write over each other, come and go, and drivers that die: the disk holds, for each block, the last
  /// write that was answered, or a newer one.
  @Test(arguments: 1...8) func overlappingWritesOfClientsThatComeAndGo(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rig = try Rig(unit: Rig.unit(blocks: 64, maximumTransfer: 4096), payloadSize: 1 << 20, queueSize: 32)
    try rig.startDriver()
    var clients: [TestClient] = []
    var version: UInt64 = 0
    var pending: [UInt64: Range<Int>] = [:]
    // The newest answered write of each block.
    var answered = [UInt64](repeating: 0, count: 64)
    for _ in 0..<600 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0 where clients.count < 6: clients.append(try rig.client())
      case 1 where !clients.isEmpty:
        clients.remove(at: Int.random(in: 0..<clients.count, using: &random)).close()
      case 2:
        rig.killDriver()
        try rig.startDriver()
      case 3...7 where !clients.isEmpty:
        version += 1
        let start = Int.random(in: 0..<56, using: &random)
        let blocks = start..<start + Int.random(in: 1...8, using: &random)
        pending[version] = blocks
        var data: [UInt8] = []
        for _ in blocks { data += Self.stamp(version) }
        clients.randomElement(using: &random)!.write(version, UInt64(blocks.lowerBound * 512), data)
        // The order of arrival counts: let it arrive.
        for _ in 0..<4 { try rig.loop.turn(waiting: 0) }
      default: break
      }
      rig.driver?.holds = Bool.random(using: &random)
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        _ = rig.proxy.poll()
        _ = try rig.driver?.serve()
        try rig.loop.turn(waiting: 0)
      }
      for client in clients {
        for reply in try TestReply.parse(client.receive() ?? []) {
          #expect(reply.error == 0)
          for block in pending[reply.cookie]! { answered[block] = max(answered[block], reply.cookie) }
        }
      }
    }
    for client in clients { client.close() }
    rig.driver?.holds = false
    try rig.driver?.release()
    try rig.settle()
    for block in 0..<64 where answered[block] > 0 {
      let found = Self.version(rig.disk.bytes[block * 512..<block * 512 + 512])
      #expect(found >= answered[block], "block \(block)")
      #expect(pending[found]?.contains(block) == true)
    }
    expectNothingLeft(rig)
  }

  private static func stamp(_ version: UInt64) -> [UInt8] {
    let bytes = withUnsafeBytes(of: version) { Array($0) }
    return (0..<64).flatMap { _ in bytes }
  }

  /// The version of a block that is not torn.
  private static func version(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    let version = Array(bytes).withUnsafeBytes { $0.load(as: UInt64.self) }
    #expect(Array(bytes) == stamp(version))
    return version
  }
}
