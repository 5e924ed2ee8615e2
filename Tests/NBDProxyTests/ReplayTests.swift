import Platform
import Protocol
import Testing

@testable import NBDProxy

@Suite struct ReplayTests {
  @Test func inFlightRequestsGoToTheNextDriverInOrder() throws {
    let rig = try Rig(queues: 1)
    let first = try rig.startDriver()
    first.holds = true
    let client = try rig.client()
    for number in 0..<6 {
      client.write(UInt64(number), UInt64(number * 512), [UInt8](repeating: UInt8(number + 1), count: 512))
    }
    try rig.settle()
    let sectors = first.taken.map(\.sector)
    #expect(sectors == [0, 1, 2, 3, 4, 5])
    rig.killDriver()
    try rig.settle()
    #expect(client.receive() == [], "nobody hears of it")
    let second = try rig.startDriver()
    try rig.settle()
    #expect(second.taken.map(\.sector) == sectors)
    #expect(Set(second.taken.map(\.tag)).isDisjoint(with: first.taken.map(\.tag)))
    let replies = try TestReply.parse(client.receive()!)
    #expect(replies.map(\.cookie) == [0, 1, 2, 3, 4, 5])
    #expect(replies.allSatisfy { $0.error == 0 })
    for number in 0..<6 { #expect(rig.disk.bytes[number * 512 + 511] == UInt8(number + 1)) }
    #expect(rig.proxy.dispatcher.counters.replayed == 6)
  }

  @Test func requestsWaitForADriver() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    rig.killDriver()
    client.write(1, 0, [UInt8](repeating: 9, count: 4096))
    client.read(2, 8192, 512)
    try rig.settle()
    #expect(client.receive() == [])
    try rig.startDriver()
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!, lengths: [2: 512])
    #expect(Set(replies.map(\.cookie)) == [1, 2])
    #expect(rig.disk.bytes[4095] == 9)
    #expect(rig.proxy.dispatcher.counters.replayed == 0)
  }

  /// What a dead driver had completed and shown, but nobody had looked at, is done again; it is answered once.
  @Test func nothingIsAnsweredTwice() throws {
    let rig = try Rig()
    let first = try rig.startDriver()
    first.holds = true
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 3, count: 512))
    try rig.settle()
    try first.release()
    rig.killDriver()
    try rig.startDriver()
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 1)])
    #expect(rig.disk.log == [.write, .write])
  }

  @Test func aStoppedDriverFinishesWhatItHas() throws {
    let rig = try Rig()
    let driver = try rig.startDriver()
    driver.holds = true
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 3, count: 512))
    try rig.settle()
    rig.proxy.driverStopping()
    client.write(2, 512, [UInt8](repeating: 4, count: 512))
    try rig.settle()
    #expect(driver.held.count == 1, "nothing new")
    try driver.release()
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 1)])
    rig.killDriver()
    try rig.startDriver()
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 2)])
    #expect(rig.proxy.dispatcher.counters.replayed == 0)
  }

  /// Drivers that die again and again, at random moments, while clients write and read back.
  @Test(arguments: 1...5) func manyDeaths(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 4096), payloadSize: 1 << 20, queueSize: 16)
    let client = try rig.clientBeforeDriver()
    var model = [UInt8](repeating: 0, count: Int(rig.unit.size))
    var cookie: UInt64 = 0
    for _ in 0..<60 {
      let driver = try rig.startDriver()
      driver.holds = true
      var expected = Set<UInt64>()
      for _ in 0..<Int.random(in: 1...12, using: &random) {
        cookie += 1
        expected.insert(cookie)
        let block = Int.random(in: 0..<256, using: &random)
        // Each block is written once in a round: the order of concurrent writes is nobody's promise.
        let offset = (Int(cookie) % 16) << 18 | (block % 64) << 12
        let length = 4096 * Int.random(in: 1...3, using: &random)
        guard offset + length <= model.count else {
          expected.remove(cookie)
          continue
        }
        let data = [UInt8](repeating: UInt8(truncatingIfNeeded: cookie), count: length)
        model.replaceSubrange(offset..<offset + length, with: data)
        client.write(cookie, UInt64(offset), data)
      }
      for _ in 0..<Int.random(in: 0...6, using: &random) {
        _ = rig.proxy.poll()
        _ = try rig.driver?.serve()
        try rig.loop.turn(waiting: 0)
        if Bool.random(using: &random) { try rig.driver?.release() }
      }
      rig.killDriver()
      let next = try rig.startDriver()
      next.holds = false
      try rig.settle()
      let replies = try TestReply.parse(client.receive() ?? [])
      #expect(Set(replies.map(\.cookie)) == expected)
      #expect(replies.count == expected.count)
      #expect(replies.allSatisfy { $0.error == 0 })
      rig.killDriver()
    }
    #expect(rig.disk.bytes == model)
    #expect(rig.proxy.server.allocator.freePages == 256)
  }
}

extension Rig {
  /// Outlets open with the first driver; this one comes and goes before anything happens.
  fileprivate func clientBeforeDriver() throws -> TestClient {
    try startDriver()
    let client = try client()
    killDriver()
    return client
  }
}
