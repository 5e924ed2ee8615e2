import Glibc
import Protocol
import Testing

@testable import NBDProxy

/// Replies to a client that has negotiated structured replies, byte by byte as the protocol's document says.
@Suite struct StructuredReplyTests {
  private static let magic: [UInt8] = [0x66, 0x8e, 0x33, 0xef]
  private static let done: [UInt8] = [0, 1]

  private static func cookie(_ number: UInt8) -> [UInt8] { [0, 0, 0, 0, 0, 0, 0, number] }

  private func ask(_ rig: Rig, _ client: TestClient, _ bytes: [UInt8]) throws -> [UInt8] {
    client.send(bytes)
    try rig.settle()
    return client.receive() ?? []
  }

  @Test func aReadIsOneChunkOfData() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client(.structuredReplies)
    for index in 0..<512 { rig.disk.bytes[1024 + index] = UInt8(truncatingIfNeeded: index) }
    let expected =
      Self.magic + Self.done + [0, 1] + Self.cookie(9) + [0, 0, 2, 8] + [0, 0, 0, 0, 0, 0, 4, 0]
      + rig.disk.bytes[1024..<1536]
    for flags: UInt16 in [0, NBD.CommandFlags.dontFragment, NBD.CommandFlags.forceUnitAccess] {
      let bytes = TestClient.request(NBD.Command.read, cookie: 9, offset: 1024, length: 512, flags: flags)
      #expect(try ask(rig, client, bytes) == expected)
    }
  }

  /// READ never gets a simple reply: not for nothing, and not for an error.
  @Test func aReadOfNothing() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client(.structuredReplies)
    let reply = try ask(rig, client, TestClient.request(NBD.Command.read, cookie: 3))
    #expect(reply == Self.magic + Self.done + [0, 0] + Self.cookie(3) + [0, 0, 0, 0])
  }

  @Test func aRefusalHasAText() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client(.structuredReplies)
    let reply = try ask(rig, client, TestClient.request(NBD.Command.read, cookie: 4, offset: 1, length: 512))
    let text = Array("offset and length must be multiples of the block size".utf8)
    #expect(
      reply == Self.magic + Self.done + [0x80, 1] + Self.cookie(4) + [0, 0, 0, UInt8(6 + text.count)] + [0, 0, 0, 22]
        + [0, UInt8(text.count)] + text)
  }

  @Test func everyRefusalOfAReadIsStructured() throws {
    let rig = try Rig(payloadSize: 1 << 20)
    try rig.startDriver()
    let client = try rig.client(.structuredReplies)
    for (offset, length, flags, error): (UInt64, Int, UInt16, UInt8) in [
      (1 << 40, 512, 0, 22), (0, 511, 0, 22), (0, 512, 2, 22), (0, 512, 16, 22), (0, 2 << 20, 0, 75),
      (0, 2 << 20, 4, 75),
    ] {
      let bytes = TestClient.request(NBD.Command.read, cookie: 1, offset: offset, length: length, flags: flags)
      let reply = try ask(rig, client, bytes)
      #expect(Array(reply.prefix(8)) == Self.magic + Self.done + [0x80, 1])
      #expect(reply[23] == error)
    }
  }

  @Test func successWithoutDataIsASimpleReply() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client(.structuredReplies)
    for bytes in [
      TestClient.request(NBD.Command.write, cookie: 6, length: 512, payload: [UInt8](repeating: 1, count: 512)),
      TestClient.request(NBD.Command.flush, cookie: 6), TestClient.request(NBD.Command.trim, cookie: 6, length: 512),
      TestClient.request(NBD.Command.cache, cookie: 6, length: 512),
      TestClient.request(NBD.Command.writeZeroes, cookie: 6, length: 512),
    ] {
      #expect(try ask(rig, client, bytes) == [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0] + Self.cookie(6))
    }
  }

  /// The device fails in the middle: the first byte that was not done, in whatever order the parts end.
  @Test(arguments: [NBD.Command.read, NBD.Command.write]) func aDevicesErrorHasItsPlace(command: UInt16) throws {
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 4096))
    let driver = try rig.startDriver()
    driver.answer = { $0.sector >= 24 ? (1, UInt16(EIO)) : (0, 0) }
    let client = try rig.client(.structuredReplies)
    let payload = command == NBD.Command.write ? [UInt8](repeating: 1, count: 32768) : []
    let reply = try ask(
      rig, client, TestClient.request(command, cookie: 7, offset: 4096, length: 32768, payload: payload))
    let text = Array("the device reports an error".utf8)
    #expect(
      reply == Self.magic + Self.done + [0x80, 2] + Self.cookie(7) + [0, 0, 0, UInt8(14 + text.count)] + [0, 0, 0, 5]
        + [0, UInt8(text.count)] + text + [0, 0, 0, 0, 0, 0, 48, 0])
  }

  @Test func aFailedFlushHasNoPlace() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.answer = { _ in (1, 0) }
    let client = try rig.client(.structuredReplies)
    let reply = try ask(rig, client, TestClient.request(NBD.Command.flush, cookie: 7))
    #expect(Array(reply[4..<8]) == Self.done + [0x80, 1])
  }

  /// An offset outside the request would be a reason to hang up on the server.
  @Test func aFailedFlushBehindAWriteHasNoPlace() throws {
    let rig = try Rig(unit: Rig.unit(features: [.volatileCache]))
    let driver = try rig.startDriver()
    driver.answer = { $0.type == .flush ? (1, 0) : (0, 0) }
    let client = try rig.client(.structuredReplies)
    let reply = try ask(
      rig, client,
      TestClient.request(
        NBD.Command.write, cookie: 7, offset: 4096, length: 512, flags: NBD.CommandFlags.forceUnitAccess,
        payload: [UInt8](repeating: 1, count: 512)))
    #expect(Array(reply[4..<8]) == Self.done + [0x80, 1])
    #expect(reply[23] == 5)
  }

  @Test func blockStatusIsOneExtent() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client([.structuredReplies, .allocation])
    for flags: UInt16 in [0, NBD.CommandFlags.requestOne] {
      let bytes = TestClient.request(NBD.Command.blockStatus, cookie: 8, offset: 512, length: 65536, flags: flags)
      // Type 5, 12 bytes: the context's number, the length, allocated and of unknown content.
      #expect(
        try ask(rig, client, bytes) == Self.magic + Self.done + [0, 5] + Self.cookie(8) + [0, 0, 0, 12] + [0, 0, 0, 1]
          + [0, 1, 0, 0] + [0, 0, 0, 0])
    }
    let beyond = TestClient.request(NBD.Command.blockStatus, cookie: 8, offset: rig.unit.size, length: 512)
    #expect(try ask(rig, client, beyond)[23] == 22)
  }

  @Test func blockStatusWithoutAContext() throws {
    let rig = try Rig()
    try rig.startDriver()
    let bytes = TestClient.request(NBD.Command.blockStatus, cookie: 8, length: 512)
    #expect(try ask(rig, try rig.client(), bytes) == [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 22] + Self.cookie(8))
    #expect(try ask(rig, try rig.client(.structuredReplies), bytes)[23] == 22)
  }

  /// Each connection is answered in the way that it has negotiated.
  @Test func connectionsDiffer() throws {
    let rig = try Rig()
    try rig.startDriver()
    let (plain, structured) = (try rig.client(), try rig.client(.structuredReplies))
    let bytes = TestClient.request(NBD.Command.read, cookie: 1, length: 512)
    #expect(try ask(rig, structured, bytes).count == 28 + 512)
    #expect(try ask(rig, plain, bytes).count == 16 + 512)
  }

  /// Chunks of all kinds, read a few bytes at a time.
  @Test(arguments: [1, 7, 20, 29]) func anyPieces(size: Int) throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client([.structuredReplies, .allocation])
    var requests: [UInt8] = []
    for number in 0..<20 {
      let command = [NBD.Command.read, NBD.Command.blockStatus, NBD.Command.flush, NBD.Command.read][number % 4]
      let offset: UInt64 = number % 4 == 3 ? 1 : 0
      requests += TestClient.request(
        command, cookie: UInt64(number), offset: offset, length: command == NBD.Command.flush ? 0 : 512)
    }
    client.send(requests)
    try rig.settle()
    var bytes: [UInt8] = []
    while let piece = client.receive(size), !piece.isEmpty { bytes += piece }
    let replies = try AnyReply.parse(bytes)
    #expect(replies.map(\.cookie).sorted() == Array(0..<20))
    for reply in replies {
      #expect(reply.type == [1, 5, nil, 0x8001][Int(reply.cookie % 4)])
    }
  }

  @Test func negotiatedFromEndToEnd() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.negotiatingClient()
    let option = NegotiationTests.option
    var context = NBDWriter()
    context.put(UInt32(0))
    context.put(UInt32(1))
    context.put(UInt32(15))
    context.put("base:allocation")
    client.send(
      NegotiationTests.flags + option(NBD.Option.structuredReply, []) + option(NBD.Option.setMetaContext, context.bytes)
        + option(NBD.Option.go, NegotiationTests.infoData("", [3])))
    client.send(
      TestClient.request(NBD.Command.blockStatus, cookie: 1, length: 512)
        + TestClient.request(NBD.Command.read, cookie: 2, length: 512, flags: NBD.CommandFlags.dontFragment))
    try rig.settle()
    let bytes = try #require(client.receive())
    let replies = try AnyReply.parse(Array(bytes.suffix(32 + 28 + 512)))
    #expect(replies.map(\.type) == [5, 1])
  }
}

/// A reply of either form.
struct AnyReply: Equatable {
  /// The type of the chunk, nil for a simple reply.
  var type: UInt16?
  var error: UInt32 = 0
  var cookie: UInt64
  var body: [UInt8] = []

  /// A READ's data in a chunk.
  var data: ArraySlice<UInt8> { body.dropFirst(8) }

  /// Splits what comes after structured replies were negotiated: the stream can be read without knowing the requests.
  static func parse(_ bytes: [UInt8]) throws -> [AnyReply] {
    var reader = NBDReader(bytes)
    var replies: [AnyReply] = []
    while reader.left > 0 {
      try #require(reader.left >= NBD.simpleReplySize)
      let magic = reader.get(UInt32.self)
      if magic == NBD.simpleReplyMagic {
        replies.append(AnyReply(error: reader.get(UInt32.self), cookie: reader.get(UInt64.self)))
        continue
      }
      try #require(magic == NBD.structuredReplyMagic)
      #expect(reader.get(UInt16.self) == NBD.replyDone)
      var reply = AnyReply(type: reader.get(UInt16.self), cookie: reader.get(UInt64.self))
      let length = Int(reader.get(UInt32.self))
      try #require(reader.left >= length)
      reply.body = (0..<length).map { _ in reader.get(UInt8.self) }
      if reply.type! & 0x8000 != 0 {
        reply.error = reply.body.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
        #expect(reply.error != 0)
      }
      replies.append(reply)
    }
    return replies
  }
}
