import Platform
import Protocol
import Testing

@testable import NBDProxy

/// A driver that writes what it likes into the used ring and the slots.
@Suite struct HostileDriverTests {
  /// A rig with requests that the driver holds.
  private struct Scene {
    let rig: Rig
    let driver: FakeDriver
    let client: TestClient

    init(requests: Int = 2) throws {
      rig = try Rig(queues: 1)
      driver = try rig.startDriver()
      driver.holds = true
      client = try rig.client()
      for number in 0..<requests { client.read(UInt64(number), UInt64(number * 512), 512) }
      try rig.settle()
      try #require(driver.held.count == requests)
    }

    /// After whatever happened, another driver sets it right.
    func recovers(_ cookies: Set<UInt64>) throws {
      rig.killDriver()
      try rig.startDriver()
      try rig.settle()
      let replies = try TestReply.parse(client.receive() ?? [], lengths: [0: 512, 1: 512])
      #expect(Set(replies.map(\.cookie)) == cookies)
      #expect(replies.allSatisfy { $0.error == 0 })
      #expect(replies.count == cookies.count)
      #expect(rig.proxy.dispatcher.requests.count == 0)
      #expect(rig.proxy.server.allocator.freePages == 1024)
    }
  }

  @Test(arguments: [1, 2, 6, 9, 45, 48, 63, 64, 0xFFFF_FFFF] as [UInt32]) func unknownId(id: UInt32) throws {
    let scene = try Scene()
    scene.driver.forge(queue: 0, [(id, 8)])
    try scene.rig.settle()
    #expect(scene.rig.host.violations == [.completionUnknown])
    #expect(!scene.rig.host.isDistrusted, "what follows is the supervisor's decision")
    try scene.recovers([0, 1])
  }

  @Test func duplicate() throws {
    let scene = try Scene()
    let first = scene.driver.held[0]
    scene.driver.writeStatus(first, status: 0, errno: 0, tag: first.tag)
    scene.driver.forge(queue: 0, [(UInt32(first.head), 520), (UInt32(first.head), 520)])
    try scene.rig.settle()
    #expect(scene.rig.host.violations == [.completionUnknown])
    #expect(try TestReply.parse(scene.client.receive()!, lengths: [0: 512, 1: 512]).count == 1)
    try scene.recovers([1])
  }

  @Test func staleTag() throws {
    let scene = try Scene()
    let first = scene.driver.held[0]
    scene.driver.writeStatus(first, status: 0, errno: 0, tag: first.tag &- 1)
    scene.driver.forge(queue: 0, [(UInt32(first.head), 520)])
    try scene.rig.settle()
    #expect(scene.rig.host.violations == [.completionStale])
    #expect(scene.client.receive() == [])
    try scene.recovers([0, 1])
  }

  /// A completion without a status: the area is as the broker primed it.
  @Test func statusNotWritten() throws {
    let scene = try Scene()
    scene.driver.forge(queue: 0, [(UInt32(scene.driver.held[0].head), 520)])
    try scene.rig.settle()
    #expect(scene.rig.host.violations == [.completionStale])
    try scene.recovers([0, 1])
  }

  @Test(arguments: [(3, 0), (255, 0), (0, 5), (1, 9999)] as [(UInt8, UInt16)])
  func impossibleStatus(status: UInt8, errno: UInt16) throws {
    let scene = try Scene()
    let first = scene.driver.held[0]
    scene.driver.writeStatus(first, status: status, errno: errno, tag: first.tag)
    scene.driver.forge(queue: 0, [(UInt32(first.head), 520)])
    try scene.rig.settle()
    #expect(scene.rig.host.violations == [.completionInvalid])
    let replies = try TestReply.parse(scene.client.receive()!)
    #expect(replies == [TestReply(error: 5, cookie: 0)])
    try scene.recovers([1])
  }

  @Test func moreWrittenThanThereWasRoom() throws {
    let scene = try Scene()
    let first = scene.driver.held[0]
    scene.driver.writeStatus(first, status: 0, errno: 0, tag: first.tag)
    scene.driver.forge(queue: 0, [(UInt32(first.head), 521)])
    try scene.rig.settle()
    #expect(scene.rig.host.violations == [.completionInvalid])
    #expect(try TestReply.parse(scene.client.receive()!) == [TestReply(error: 5, cookie: 0)])
  }

  @Test(arguments: [3, 64, 0x8000, 0xFFFF] as [UInt16]) func indexJump(to index: UInt16) throws {
    let scene = try Scene()
    scene.driver.jump(queue: 0, to: index)
    try scene.rig.settle()
    #expect(scene.rig.host.violations == [.usedIndexInvalid])
    #expect(scene.rig.host.isDistrusted)
    try scene.recovers([0, 1])
  }

  /// Noise in the whole memory of the rings, again and again: the broker lives, and the next driver does the work.
  @Test(arguments: 1...20) func noise(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let scene = try Scene()
    let memory = scene.driver.rings.mapping.base
    for _ in 0..<50 where scene.rig.driver === scene.driver {
      for _ in 0..<64 {
        let offset = Int.random(in: 0..<scene.driver.rings.mapping.length, using: &random)
        memory.storeBytes(of: UInt8.random(in: 0...255, using: &random), toByteOffset: offset, as: UInt8.self)
      }
      _ = scene.rig.proxy.poll()
      try scene.rig.loop.turn(waiting: 0)
    }
    scene.rig.killDriver()
    try scene.rig.startDriver()
    try scene.rig.settle()
    #expect(scene.rig.proxy.dispatcher.requests.count == 0)
    #expect(scene.rig.proxy.server.allocator.freePages == 1024)
  }
}
