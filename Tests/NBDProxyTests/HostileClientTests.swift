import Platform
import Protocol
import Testing

@testable import NBDProxy

/// Clients that do what they like. Another client is served as if they were not there.
@Suite struct HostileClientTests {
  private func expectServed(_ rig: Rig, _ client: TestClient) throws {
    client.write(900, 0, [UInt8](repeating: 1, count: 4096))
    client.read(901, 0, 4096)
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!, lengths: [901: 4096])
    #expect(Set(replies.map(\.cookie)) == [900, 901])
    #expect(replies.allSatisfy { $0.error == 0 })
  }

  private func expectNothingLeft(_ rig: Rig, connections: Int = 1) {
    #expect(rig.proxy.server.connections.count == connections)
    #expect(rig.proxy.dispatcher.requests.count == 0)
    #expect(rig.proxy.server.allocator.freePages == rig.payload.count / 4096)
  }

  /// A conversation that ends at each of its bytes, with and without a driver that answers.
  @Test(arguments: [false, true]) func leavesAtEveryByte(driverHolds: Bool) throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    let other = try rig.client()
    let greeting: [UInt8] = [0, 0, 0, 3] + Array("IHAVEOPT".utf8) + [0, 0, 0, 3, 0, 0, 0, 0]
    let conversation =
      greeting + Array("IHAVEOPT".utf8) + [0, 0, 0, 7, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0]
      + TestClient.request(1, cookie: 1, offset: 8192, length: 512, payload: [UInt8](repeating: 2, count: 512))
      + TestClient.request(0, cookie: 2, offset: 8192, length: 512)
    for length in stride(from: 0, through: conversation.count, by: 1) {
      driver.holds = driverHolds
      let client = try rig.negotiatingClient()
      client.send(Array(conversation.prefix(length)))
      if length % 2 == 0 { try rig.settle() }
      client.close()
      try rig.settle()
      driver.holds = false
      try driver.release()
      try rig.settle()
      expectNothingLeft(rig)
    }
    try expectServed(rig, other)
  }

  @Test func leavesWithRequestsThatNoDriverHasSeen() throws {
    let rig = try Rig()
    try rig.startDriver()
    rig.killDriver()
    let client = try rig.client()
    for number in 0..<20 { client.write(UInt64(number), 0, [UInt8](repeating: 2, count: 512)) }
    try rig.settle()
    #expect(rig.proxy.dispatcher.requests.count == 20)
    client.close()
    try rig.settle()
    expectNothingLeft(rig, connections: 0)
  }

  /// By the book: who says DISC is served to the end, even if it does not wait.
  @Test func leavesInOrderWithoutWaiting() throws {
    let rig = try Rig()
    try rig.startDriver()
    rig.killDriver()
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 2, count: 512))
    client.send(TestClient.request(NBD.Command.disconnect, cookie: 2))
    client.close()
    try rig.settle()
    try rig.startDriver()
    try rig.settle()
    #expect(rig.disk.bytes[0] == 2)
    expectNothingLeft(rig, connections: 0)
  }

  @Test func noiseInsteadOfARequest() throws {
    let rig = try Rig()
    try rig.startDriver()
    let (client, other) = (try rig.client(), try rig.client())
    client.send([UInt8](repeating: 0x55, count: 28))
    try rig.settle()
    #expect(client.receive() == nil)
    try expectServed(rig, other)
    expectNothingLeft(rig)
  }

  /// A write of 4 GiB is answered and hung up on, however much of its payload is on the way.
  @Test func anEnormousWrite() throws {
    let rig = try Rig()
    try rig.startDriver()
    let (client, other) = (try rig.client(), try rig.client())
    client.read(1, 0, 512)
    client.send(TestClient.request(NBD.Command.write, cookie: 2, length: 0xFFFF_FE00) + [1, 2, 3])
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!, lengths: [1: 512])
    #expect(replies.map(\.error).sorted() == [0, 28], "what was asked before is answered")
    #expect(client.receive() == nil)
    try expectServed(rig, other)
    expectNothingLeft(rig)
  }

  /// A write that is too long, but not for an attack, is refused; its payload is taken and forgotten.
  @Test func aLongWrite() throws {
    let rig = try Rig()
    try rig.startDriver()
    let (client, other) = (try rig.client(), try rig.client())
    client.send(TestClient.request(NBD.Command.write, cookie: 1, length: 40 << 20))
    for _ in 0..<50 {
      client.send([UInt8](repeating: 1, count: 100_000))
      try rig.settle()
    }
    try expectServed(rig, other)
    client.close()
    try rig.settle()
    expectNothingLeft(rig)
  }

  /// One that asks for more than it reads stops, and nobody else does.
  @Test func doesNotRead() throws {
    let rig = try Rig()
    try rig.startDriver()
    let (client, other) = (try rig.client(), try rig.client())
    for number in 0..<40 {
      client.read(UInt64(number), 0, 65536)
      try rig.settle()
    }
    try expectServed(rig, other)
    // When it reads at last it gets everything, in step.
    var bytes: [UInt8] = []
    while let piece = client.receive(), !piece.isEmpty {
      bytes += piece
      try rig.settle()
    }
    let lengths = Dictionary(uniqueKeysWithValues: (0..<40).map { (UInt64($0), 65536) })
    #expect(try TestReply.parse(bytes, lengths: lengths).count == 40)
    expectNothingLeft(rig, connections: 2)
  }

  /// Asks for all common memory: to read what it does not take, or to write what it does not send.
  private func takeAllMemory(_ client: TestClient, _ length: Int, writing: Bool) {
    if writing { return client.send(TestClient.request(NBD.Command.write, cookie: 1, length: length)) }
    for number in 0..<16 { client.read(UInt64(number), 0, length) }
  }

  /// All that a client is told.
  private func receiveAll(_ rig: Rig, _ client: TestClient) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while let piece = client.receive(), !piece.isEmpty {
      bytes += piece
      try rig.settle()
    }
    return bytes
  }

  /// Those that hold all common memory and neither read nor write are thrown out as soon as others need it.
  @Test(arguments: [false, true]) func stallsWithAllTheMemory(writing: Bool) throws {
    let rig = try Rig(payloadSize: 1 << 20)
    try rig.startDriver()
    let (client, other) = (try rig.client(), try rig.client())
    let length = 1 << 19
    takeAllMemory(client, length, writing: writing)
    try rig.settle()
    for _ in 0..<20 { rig.proxy.tick() }
    #expect(rig.proxy.server.connections.count == 2, "it harms nobody")
    other.read(1, 0, length)
    try rig.settle()
    #expect(other.receive() == [], "it waits")
    // Small requests do not wait, neither of others nor of who waits for a large one.
    let third = try rig.client()
    third.write(1, 0, [UInt8](repeating: 1, count: 4096))
    try rig.settle()
    #expect(try TestReply.parse(third.receive()!) == [TestReply(error: 0, cookie: 1)])
    for _ in 0..<20 {
      rig.proxy.tick()
      try rig.settle()
    }
    #expect(rig.proxy.server.connections.count == 2)
    #expect(try TestReply.parse(receiveAll(rig, other), lengths: [1: length]).map(\.cookie) == [1])
    while let piece = client.receive(), !piece.isEmpty {}
    #expect(client.receive() == nil)
    expectNothingLeft(rig, connections: 2)
  }

  /// A byte now and then does not keep what others wait for.
  @Test(arguments: [false, true]) func dripsWithAllTheMemory(writing: Bool) throws {
    let rig = try Rig(payloadSize: 1 << 20)
    try rig.startDriver()
    let (client, other) = (try rig.client(), try rig.client())
    let length = 1 << 19
    takeAllMemory(client, length, writing: writing)
    try rig.settle()
    other.read(1, 0, length)
    var beats = 0
    while rig.proxy.server.connections.count == 2, beats < 100 {
      if writing { client.send([0]) } else { _ = client.receive(1) }
      try rig.settle()
      rig.proxy.tick()
      beats += 1
    }
    #expect(beats < 30, "it was thrown out")
    try rig.settle()
    #expect(try TestReply.parse(receiveAll(rig, other), lengths: [1: length]).map(\.cookie) == [1])
  }

  /// One that has just come is given the same time, however long the others have been there.
  @Test(arguments: [false, true]) func aNewClientIsNotSlowYet(writing: Bool) throws {
    let rig = try Rig(payloadSize: 1 << 20)
    try rig.startDriver()
    let other = try rig.client()
    for _ in 0..<50 { rig.proxy.tick() }
    let client = try rig.client()
    let length = 1 << 19
    takeAllMemory(client, length, writing: writing)
    try rig.settle()
    other.read(1, 0, length)
    try rig.settle()
    for _ in 0..<9 { rig.proxy.tick() }
    #expect(rig.proxy.server.connections.count == 2)
  }

  /// One that goes on reading, and is as slow as may be, keeps its connection though others wait.
  @Test func slowButReading() throws {
    let rig = try Rig(payloadSize: 1 << 20)
    try rig.startDriver()
    let (client, other) = (try rig.client(), try rig.client())
    let length = 1 << 19
    for number in 0..<4 { client.read(UInt64(number), 0, length) }
    try rig.settle()
    other.read(1, 0, length)
    var bytes = 0
    for _ in 0..<60 {
      bytes += client.receive(1 << 16)?.count ?? 0
      try rig.settle()
      rig.proxy.tick()
    }
    #expect(rig.proxy.server.connections.count == 2)
    #expect(bytes == 4 * (length + NBD.simpleReplySize))
  }

  /// As many as there can be ask for more than they read, or announce more than they send; one more is served at once.
  @Test func everybodyElseStalls() throws {
    let rig = try Rig(payloadSize: 8 << 20)
    try rig.startDriver()
    let good = try rig.client()
    var stalling: [TestClient] = []
    for number in 1..<NBDProxy.clients {
      let client = try rig.client()
      for cookie in 0..<20 {
        if number % 2 == 0 { client.read(UInt64(cookie), 0, 256 << 10) }
      }
      if number % 2 == 1 { client.send(TestClient.request(NBD.Command.write, cookie: 1, length: 256 << 10)) }
      stalling.append(client)
      try rig.settle()
      try expectServed(rig, good)
    }
    #expect(rig.proxy.server.waiting > 0, "there is something to wait for")
    for client in stalling { client.close() }
    try rig.settle()
    expectNothingLeft(rig)
    #expect(rig.proxy.server.commonUsed == 0)
  }

  /// One that haggles on, a byte at a time, is thrown out in the end; so is one that says nothing.
  @Test(arguments: [false, true]) func negotiatesSlowly(talks: Bool) throws {
    let rig = try Rig()
    try rig.startDriver()
    let other = try rig.client()
    let client = try rig.negotiatingClient()
    client.isListenedTo = false
    let words = NegotiationTests.flags + NegotiationTests.option(NBD.Option.info, [UInt8](repeating: 0, count: 4000))
    var ticks = 0
    while rig.proxy.server.connections.count == 2, ticks < 1000 {
      if talks { client.send([words[ticks % words.count]]) }
      try rig.settle()
      rig.proxy.tick()
      ticks += 1
    }
    #expect(ticks == (talks ? 30 : 10))
    try expectServed(rig, other)
    expectNothingLeft(rig)
  }

  /// One that does not read what it is told in the negotiation.
  @Test func doesNotReadInTheNegotiation() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.negotiatingClient()
    client.send(
      NegotiationTests.flags + Array(repeatElement(NegotiationTests.option(NBD.Option.list, []), count: 250).joined()))
    client.send(NegotiationTests.option(NBD.Option.abort, []))
    try rig.settle()
    for _ in 0..<10 { rig.proxy.tick() }
    expectNothingLeft(rig, connections: 0)
  }

  /// More requests than one connection may have under way.
  @Test func moreRequestsThanOneMayHave() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let (client, other) = (try rig.client(), try rig.client())
    // In one piece: a socket takes fewer small messages than large ones.
    client.send((0..<500).flatMap { TestClient.request(NBD.Command.read, cookie: $0, length: 512) })
    try rig.settle()
    #expect(rig.proxy.dispatcher.requests.count == Int(NBDServer.requestsPerConnection))
    driver.holds = false
    try expectServed(rig, other)
    let lengths = Dictionary(uniqueKeysWithValues: (0..<500).map { (UInt64($0), 512) })
    var bytes: [UInt8] = []
    while let piece = client.receive(), !piece.isEmpty {
      bytes += piece
      try rig.settle()
    }
    #expect(try TestReply.parse(bytes, lengths: lengths).count == 500)
  }

  @Test func noiseFromManyClients() throws {
    var random = SeededGenerator(seed: 7)
    let rig = try Rig()
    try rig.startDriver()
    let other = try rig.client()
    for _ in 0..<300 {
      let client = try Bool.random(using: &random) ? rig.client() : rig.negotiatingClient()
      client.isListenedTo = false
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        var bytes = TestClient.request(
          UInt16.random(in: 0...8, using: &random), cookie: random.next(), offset: random.next() >> 40,
          length: Int.random(in: 0...40960, using: &random), flags: UInt16.random(in: 0...3, using: &random))
        if Int.random(in: 0...9, using: &random) == 0 { bytes[Int.random(in: 0..<28, using: &random)] ^= 0x10 }
        client.send(bytes)
        if Bool.random(using: &random) { try rig.settle() }
      }
      client.close()
      try rig.settle()
    }
    try expectServed(rig, other)
    expectNothingLeft(rig)
    #expect(rig.host.violations.isEmpty)
  }

  @Test func shutdownAnswersAndCloses() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    rig.killDriver()
    client.read(1, 0, 512)
    try rig.settle()
    rig.proxy.shutdown()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 108, cookie: 1)])
    #expect(client.receive() == nil)
    expectNothingLeft(rig, connections: 0)
  }
}
