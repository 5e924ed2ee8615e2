import Glibc
import Platform
import Protocol
import Testing

@testable import NBDProxy

/// One good client, and every kind of bad one. The good one writes, reads back and compares all the time.
@Suite struct CampaignTests {
  /// A client that is served whatever the others do: its own half of the disk, and a copy of it.
  private final class GoodClient {
    private let rig: Rig
    private let client: TestClient
    private var model: [UInt8]
    private let start: Int
    private var cookie: UInt64 = 0
    private(set) var rounds = 0

    init(_ rig: Rig) throws {
      self.rig = rig
      client = try rig.client(.structuredReplies)
      start = Int(rig.unit.size) / 2
      model = [UInt8](repeating: 0, count: Int(rig.unit.size) - start)
    }

    func work(_ random: inout SeededGenerator) throws {
      rounds += 1
      cookie += 1
      let length = 512 * Int.random(in: 1...4, using: &random)
      let offset = 512 * Int.random(in: 0..<(model.count - length) / 512, using: &random)
      if Bool.random(using: &random) {
        let data = [UInt8](repeating: UInt8(truncatingIfNeeded: cookie), count: length)
        model.replaceSubrange(offset..<offset + length, with: data)
        client.write(cookie, UInt64(start + offset), data)
        try rig.settle()
        let replies = try AnyReply.parse(client.receive() ?? [])
        try #require(replies == [AnyReply(cookie: cookie)])
      } else {
        client.read(cookie, UInt64(start + offset), length)
        try rig.settle()
        let replies = try AnyReply.parse(client.receive() ?? [])
        try #require(replies.count == 1 && replies[0].cookie == cookie && replies[0].type == NBD.Chunk.offsetData)
        try #require(replies[0].data == model[offset..<offset + length])
      }
    }
  }

  private func expectNothingLeft(_ rig: Rig) throws {
    // The loop takes leave of one client in a turn.
    for _ in 0..<NBDProxy.clients { try rig.settle() }
    #expect(rig.proxy.server.connections.count == 1)
    #expect(rig.proxy.dispatcher.requests.count == 0)
    #expect(rig.proxy.dispatcher.ranges.count == 0)
    #expect(rig.proxy.dispatcher.slots.inFlight == 0)
    #expect(rig.proxy.server.allocator.freePages == rig.payload.count / 4096)
    #expect(rig.proxy.server.waiting == 0)
    #expect(rig.proxy.server.commonUsed == 0)
    #expect(rig.host.violations.isEmpty)
  }

  // MARK: At every byte

  /// Everything that a client says in one go, from its flags to its goodbye.
  private static let dialogue: [UInt8] = {
    let option = NegotiationTests.option
    var context = NBDWriter()
    context.put(UInt32(3))
    context.put("ns1")
    context.put(UInt32(2))
    for query in ["base:", "base:allocation"] {
      context.put(UInt32(query.utf8.count))
      context.put(query)
    }
    let negotiation =
      NegotiationTests.flags + option(NBD.Option.structuredReply, []) + option(77, [1, 2, 3])
      + option(NBD.Option.list, []) + option(NBD.Option.setMetaContext, context.bytes)
      + option(NBD.Option.info, NegotiationTests.infoData("nothing", []))
      + option(NBD.Option.go, NegotiationTests.infoData("ns1", [0, 1, 2, 3]))
    let request = TestClient.request
    return negotiation
      + request(NBD.Command.write, 1, 8192, 512, 1, [UInt8](repeating: 2, count: 512))
      + request(NBD.Command.read, 2, 8192, 512, NBD.CommandFlags.dontFragment, [])
      + request(NBD.Command.blockStatus, 3, 0, 4096, NBD.CommandFlags.requestOne, [])
      + request(NBD.Command.write, 4, 1, 100, 0, [UInt8](repeating: 3, count: 100))
      + request(NBD.Command.writeZeroes, 5, 8192, 512, 0, []) + request(NBD.Command.trim, 6, 8192, 512, 0, [])
      + request(NBD.Command.cache, 7, 0, 512, 0, []) + request(NBD.Command.flush, 8, 0, 0, 0, [])
      + request(NBD.Command.disconnect, 9, 0, 0, 0, [])
  }()

  enum Leaving: CaseIterable { case closes, closesUnheard, endsItsHalf, closesWhileTheDriverHolds, closesWhileItDies }

  @Test(arguments: Leaving.allCases) func leavesAtEveryByte(leaving: Leaving) throws {
    var random = SeededGenerator(seed: 11)
    let rig = try Rig(unit: Rig.unit(blocks: 1024))
    try rig.startDriver()
    let good = try GoodClient(rig)
    for length in 0...Self.dialogue.count {
      rig.driver?.holds = leaving == .closesWhileTheDriverHolds || leaving == .closesWhileItDies
      let client = try rig.negotiatingClient()
      client.send(Array(Self.dialogue.prefix(length)))
      if leaving != .closesUnheard { try rig.settle() }
      if leaving == .endsItsHalf {
        shutdown(client.file, Int32(SHUT_WR))
        try rig.settle()
        while let bytes = client.receive(), !bytes.isEmpty {}
        #expect(client.receive() == nil, "what was said whole is answered, then it ends: byte \(length)")
      }
      client.close()
      if leaving == .closesWhileItDies {
        rig.killDriver()
        try rig.startDriver()
      }
      rig.driver?.holds = false
      try rig.driver?.release()
      try good.work(&random)
    }
    try expectNothingLeft(rig)
    #expect(good.rounds == Self.dialogue.count + 1)
  }

  // MARK: Noise

  /// Clients without manners, as many as there can be, in any state, with drivers that die now and then.
  @Test(arguments: 1...4) func manyBadClients(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rig = try Rig(unit: Rig.unit(blocks: 1024), payloadSize: 8 << 20)
    try rig.startDriver()
    let good = try GoodClient(rig)
    var clients: [TestClient] = []
    for round in 0..<3000 {
      if clients.count < NBDProxy.clients - 1, Int.random(in: 0..<4, using: &random) == 0 {
        clients.append(try newcomer(rig, &random))
      } else if let number = clients.indices.randomElement(using: &random) {
        try misbehave(clients[number], &random)
        if Int.random(in: 0..<12, using: &random) == 0 { clients.remove(at: number).close() }
      }
      if round % 97 == 0 {
        rig.killDriver()
        try rig.startDriver()
      }
      if round % 500 == 0 { rig.proxy.tick() }
      if round % 3 == 0 { try good.work(&random) }
    }
    for client in clients { client.close() }
    try rig.settle()
    try good.work(&random)
    try expectNothingLeft(rig)
  }

  /// More than there is room for are turned away, and nobody else notices.
  @Test func moreClientsThanThereIsRoomFor() throws {
    var random = SeededGenerator(seed: 3)
    let rig = try Rig(unit: Rig.unit(blocks: 1024))
    try rig.startDriver()
    let good = try GoodClient(rig)
    var clients: [TestClient] = []
    for _ in 0..<100 {
      let client = try TestClient()
      clients.append(client)
      if !rig.proxy.server.addClient(client.serverEnd) { close(client.serverEnd) }
      try good.work(&random)
    }
    #expect(rig.proxy.server.connections.count == rig.proxy.server.connections.capacity)
    clients.removeAll()
    try rig.settle()
    try expectNothingLeft(rig)
  }

  private func newcomer(_ rig: Rig, _ random: inout SeededGenerator) throws -> TestClient {
    let agreements: [Agreement] = [[], .structuredReplies, [.structuredReplies, .allocation]]
    let client =
      try Int.random(in: 0..<3, using: &random) == 0
      ? rig.negotiatingClient() : rig.client(agreements.randomElement(using: &random)!)
    client.isListenedTo = false
    return client
  }

  private func misbehave(_ client: TestClient, _ random: inout SeededGenerator) throws {
    switch Int.random(in: 0..<16, using: &random) {
    case 0: client.send(NegotiationTests.flags)
    case 1, 2:
      let length = [0, 1, 6, 40, 5000, 9000].randomElement(using: &random)!
      let data = (0..<length).map { _ in UInt8.random(in: 0...4, using: &random) }
      var option = NegotiationTests.option(UInt32.random(in: 0...14, using: &random), data)
      if Bool.random(using: &random) { option.removeLast(Int.random(in: 0..<option.count, using: &random)) }
      client.send(option)
    case 3:
      client.send((0..<Int.random(in: 1...99, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
    case 4: shutdown(client.file, [Int32(SHUT_WR), Int32(SHUT_RD), Int32(SHUT_RDWR)].randomElement(using: &random)!)
    case 5, 6: _ = client.receive(Int.random(in: 1...100_000, using: &random))
    default: client.send(request(&random))
    }
  }

  /// A request that is right, or wrong in one of many ways; half of the disk is the good client's, and is only read.
  private func request(_ random: inout SeededGenerator) -> [UInt8] {
    let command = UInt16.random(in: 0...9, using: &random)
    let isReading = command == NBD.Command.read || command == NBD.Command.cache || command == NBD.Command.blockStatus
    var offset = UInt64.random(in: 0..<(isReading ? 1024 : 400), using: &random) * 512
    var length = [0, 512, 4096, 65536, 131_072].randomElement(using: &random)!
    var flags: UInt16 = 0
    switch Int.random(in: 0..<10, using: &random) {
    case 0: offset = random.next() | 1 << 40
    case 1: offset += 1
    case 2: length += Int.random(in: 1...511, using: &random)
    case 3: length = Int(UInt32.random(in: 1 << 22...UInt32.max, using: &random)) & ~511
    case 4: flags = UInt16.random(in: 0...0x3F, using: &random)
    default: break
    }
    if command == NBD.Command.flush { (offset, length) = (0, 0) }
    // Never into the good client's half.
    if !isReading, offset < 1 << 40 { length = min(length, Int(1 << 18 - offset)) }
    var bytes = TestClient.request(command, cookie: random.next(), offset: offset, length: length, flags: flags)
    if Int.random(in: 0..<30, using: &random) == 0 { bytes[Int.random(in: 0..<4, using: &random)] ^= 0x10 }
    if command == NBD.Command.write {
      // All of its payload, or a part, or more.
      let sent = Int.random(in: 0..<4, using: &random) > 0 ? length : Int.random(in: 0...length, using: &random)
      bytes += [UInt8](repeating: 0x5A, count: min(sent, 140_000))
    }
    return bytes
  }
}
