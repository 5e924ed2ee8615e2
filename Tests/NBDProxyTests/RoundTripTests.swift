import Glibc
import Platform
import Protocol
import Testing

@testable import NBDProxy

@Suite struct RoundTripTests {
  private static func pattern(_ length: Int, seed: UInt64) -> [UInt8] {
    var random = SeededGenerator(seed: seed)
    return (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
  }

  @Test func whatWasWrittenIsRead() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    let data = Self.pattern(8192, seed: 1)
    client.write(11, 4096, data)
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 11)])
    #expect(Array(rig.disk.bytes[4096..<12288]) == data)
    client.read(12, 4096, 8192)
    client.read(13, 0, 512)
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!, lengths: [12: 8192, 13: 512])
    #expect(replies.contains(TestReply(error: 0, cookie: 12, payload: data)))
    #expect(replies.contains(TestReply(error: 0, cookie: 13, payload: [UInt8](repeating: 0, count: 512))))
    #expect(rig.proxy.server.allocator.freePages == 1024, "all payload memory came back")
    #expect(rig.proxy.dispatcher.requests.count == 0)
  }

  @Test func everyCommand() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 7, count: 4096))
    try rig.settle()
    for (command, cookie) in [(NBD.Command.trim, 2), (NBD.Command.writeZeroes, 3), (NBD.Command.cache, 4)] {
      client.send(TestClient.request(command, cookie: UInt64(cookie), offset: 1024, length: 1024))
      try rig.settle()
    }
    client.send(TestClient.request(NBD.Command.flush, cookie: 5))
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!)
    #expect(replies.map(\.cookie) == [1, 2, 3, 4, 5])
    #expect(replies.allSatisfy { $0.error == 0 })
    #expect(rig.disk.log == [.write, .discard, .writeZeroes, .flush])
    #expect(Array(rig.disk.durable[0..<4096]) == rig.disk.bytes[0..<4096] + [])
    #expect(rig.disk.bytes[1024..<2048].allSatisfy { $0 == 0 } && rig.disk.bytes[2048] == 7)
  }

  @Test func errorsKeepTheConnectionInStep() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    let end = rig.unit.size
    client.write(1, end, [UInt8](repeating: 1, count: 4096))
    client.write(2, 1, [UInt8](repeating: 1, count: 512))
    client.read(3, end - 512, 1024)
    client.send(TestClient.request(77, cookie: 4))
    client.write(5, 0, [])
    client.read(6, 0, 512)
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!, lengths: [6: 512])
    #expect(replies.sorted { $0.cookie < $1.cookie }.map(\.error) == [28, 22, 22, 22, 0, 0])
    #expect(rig.disk.log == [.read])
  }

  @Test func aDevicesErrorReachesTheClient() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.answer = { $0.type == .read ? (1, UInt16(ENODATA)) : (2, 0) }
    let client = try rig.client()
    client.read(1, 0, 512)
    client.write(2, 0, [UInt8](repeating: 0, count: 512))
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!)
    #expect(Set(replies.map(\.error)) == [5, 22])
    #expect(rig.proxy.dispatcher.counters.errors == 2)
    #expect(rig.host.violations.isEmpty)
  }

  /// Requests that arrive byte by byte, and replies that are read byte by byte.
  @Test func anyPieces() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    let data = Self.pattern(1024, seed: 3)
    for byte in TestClient.request(1, cookie: 9, offset: 512, length: 1024, payload: data)
      + TestClient.request(0, cookie: 10, offset: 512, length: 1024)
    {
      client.send([byte])
      try rig.settle()
    }
    var bytes: [UInt8] = []
    while let piece = client.receive(1), !piece.isEmpty { bytes += piece }
    let replies = try TestReply.parse(bytes, lengths: [10: 1024])
    #expect(replies == [TestReply(error: 0, cookie: 9), TestReply(error: 0, cookie: 10, payload: data)])
  }

  /// Reads and writes behind each other, in pieces of any size: what comes in with a header is not lost.
  @Test(arguments: [27, 28, 29, 100, 448, 449, 540, 1000, 100_000]) func manyRequestsInOnePiece(pieces size: Int) throws
  {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    var bytes: [UInt8] = []
    var lengths: [UInt64: Int] = [:]
    for number in 0..<40 {
      let cookie = UInt64(number)
      switch number % 8 {
      case 0, 1, 2, 5:
        lengths[cookie] = 512
        bytes += TestClient.request(0, cookie: cookie, offset: 1 << 20, length: 512)
      case 3: bytes += TestClient.request(3, cookie: cookie)
      case 4:
        // Refused, with its payload.
        bytes += TestClient.request(
          1, cookie: cookie, offset: 1, length: 700, payload: [UInt8](repeating: 0xEE, count: 700))
      default:
        let data = [UInt8](repeating: UInt8(number), count: number % 8 == 6 ? 512 : 4096)
        bytes += TestClient.request(1, cookie: cookie, offset: UInt64(number) << 13, length: data.count, payload: data)
      }
    }
    var rest = bytes[...]
    while !rest.isEmpty {
      client.send(Array(rest.prefix(size)))
      rest = rest.dropFirst(size)
      try rig.settle()
    }
    let replies = try TestReply.parse(client.receive()!, lengths: lengths)
    #expect(Set(replies.map(\.cookie)) == Set((0..<40).map(UInt64.init)))
    #expect(replies.allSatisfy { ($0.error == 22) == ($0.cookie % 8 == 4) })
    for number in 0..<40 where number % 8 >= 6 {
      let length = number % 8 == 6 ? 512 : 4096
      #expect(rig.disk.bytes[number << 13..<number << 13 + length].allSatisfy { $0 == UInt8(number) })
    }
    #expect(!rig.disk.bytes.contains(0xEE))
    #expect(rig.proxy.server.allocator.freePages == 1024)
  }

  @Test func largeRequestsAreSplit() throws {
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 8192 + 512), queues: 1, queueSize: 16)
    let driver = try rig.startDriver()
    let client = try rig.client()
    let data = Self.pattern(100_352, seed: 4)
    client.write(1, 512, data)
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 1)])
    #expect(Array(rig.disk.bytes[512..<512 + data.count]) == data)
    // Parts are whole pages, and there are only four slots.
    #expect(driver.taken.count == 13)
    #expect(driver.taken.dropLast().allSatisfy { $0.payloadLength == 8192 })
    client.read(2, 512, data.count)
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!, lengths: [2: data.count])[0].payload == data)
  }

  @Test func aSmallRequestOvertakesALargeOne() throws {
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 4096), queues: 1, queueSize: 16)
    let driver = try rig.startDriver()
    driver.holds = true
    let (large, small) = (try rig.client(), try rig.client())
    large.read(1, 0, 1 << 20)
    try rig.settle()
    small.read(2, 0, 512)
    try rig.settle()
    // Four slots are taken; when they are free it is the small one's turn.
    try driver.release()
    try rig.settle()
    #expect(driver.held.contains { $0.payloadLength == 512 })
  }

  @Test func firstErrorOfThePartsWins() throws {
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 4096), queues: 1, queueSize: 16)
    let driver = try rig.startDriver()
    driver.answer = { $0.sector >= 16 ? (1, 28) : (0, 0) }
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 1, count: 65536))
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 28, cookie: 1)])
    #expect(driver.taken.count < 16, "the rest is not tried")
    #expect(rig.proxy.dispatcher.requests.count == 0)
  }

  @Test func forceUnitAccessIsMadeOfAFlush() throws {
    let rig = try Rig(unit: Rig.unit(features: [.volatileCache]))
    let driver = try rig.startDriver()
    driver.holds = true
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 5, count: 512), flags: NBD.CommandFlags.forceUnitAccess)
    try rig.settle()
    #expect(driver.held.map(\.type) == [.write])
    try driver.release()
    try rig.settle()
    #expect(driver.held.map(\.type) == [.flush])
    #expect(client.receive() == [], "not answered before it is durable")
    try driver.release()
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 1)])
    #expect(rig.disk.durable[0] == 5)
  }

  @Test func flagsReachTheDriver() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 5, count: 512), flags: NBD.CommandFlags.forceUnitAccess)
    client.send(TestClient.request(NBD.Command.writeZeroes, cookie: 2, offset: 512, length: 512))
    client.send(
      TestClient.request(NBD.Command.writeZeroes, cookie: 3, offset: 1024, length: 512, flags: NBD.CommandFlags.noHole))
    try rig.settle()
    #expect(driver.taken.map(\.flags) == [.forceUnitAccess, .mayDeallocate, []])
  }

  @Test func aFlushWithoutVolatileCacheNeedsNoDriver() throws {
    let rig = try Rig(unit: Rig.unit(features: []))
    let driver = try rig.startDriver()
    let client = try rig.client()
    client.send(TestClient.request(NBD.Command.flush, cookie: 5))
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 5)])
    #expect(driver.taken.isEmpty)
  }

  @Test func disconnectAnswersWhatWasAskedBefore() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 5, count: 512))
    client.send(TestClient.request(NBD.Command.disconnect, cookie: 2))
    try rig.settle()
    #expect(client.receive() == [])
    try driver.release()
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 1)])
    #expect(client.receive() == nil, "then it hangs up")
    #expect(rig.proxy.server.connections.count == 0)
  }

  @Test func negotiatedClientsAreServed() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.negotiatingClient()
    try rig.settle()
    #expect(client.receive() == Array("NBDMAGICIHAVEOPT".utf8) + [0, 3])
    // All in one: flags, EXPORT_NAME of the first export, a read.
    client.send([0, 0, 0, 3] + Array("IHAVEOPT".utf8) + [0, 0, 0, 1, 0, 0, 0, 0])
    client.read(1, 0, 512)
    try rig.settle()
    let bytes = try #require(client.receive())
    #expect(Array(bytes.prefix(10)) == [0, 0, 0, 0, 0, 64, 0, 0, 0x05, 0x6D])
    #expect(try TestReply.parse(Array(bytes.dropFirst(10)), lengths: [1: 512]).map(\.cookie) == [1])
  }

  @Test func kernelConnectionsAreHandedOver() throws {
    let rig = try Rig(kernelConnections: 3, readOnly: true)
    try rig.startDriver()
    let outlet = try #require(rig.host.outlets.first)
    #expect(outlet.files.count == 3)
    #expect(outlet.unit == rig.unit)
    #expect(NBD.TransmissionFlags(rawValue: outlet.flags).contains([.hasFlags, .readOnly, .canMultiConn]))
    #expect(rig.proxy.server.connections.count == 3)
    // A second driver opens no second outlet.
    rig.killDriver()
    try rig.startDriver()
    #expect(rig.host.outlets.count == 1)
  }

  @Test func manyClientsAndRandomWork() throws {
    var random = SeededGenerator(seed: 42)
    let rig = try Rig(payloadSize: 1 << 20)
    try rig.startDriver()
    var model = [UInt8](repeating: 0, count: Int(rig.unit.size))
    let clients = try (0..<4).map { _ in try rig.client() }
    for round in 0..<200 {
      // Disjoint ranges for the clients of one round: their order is nobody's promise.
      for (number, client) in clients.enumerated() {
        let length = 512 * Int.random(in: 1...128, using: &random)
        let offset = number << 20 | 512 * Int.random(in: 0..<1024, using: &random)
        if Bool.random(using: &random) {
          let data = Self.pattern(length, seed: UInt64(round * 4 + number))
          client.write(UInt64(round), UInt64(offset), data)
          model.replaceSubrange(offset..<offset + length, with: data)
          try rig.settle()
          #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: UInt64(round))])
        } else {
          client.read(UInt64(round), UInt64(offset), length)
          try rig.settle()
          let reply = try TestReply.parse(client.receive()!, lengths: [UInt64(round): length])
          #expect(reply.first?.payload == Array(model[offset..<offset + length]))
        }
      }
    }
    #expect(rig.disk.bytes == model)
    #expect(rig.proxy.server.allocator.freePages == 256)
  }
}
