import Platform
import Protocol
import Testing

@testable import NBDProxy

/// What a device with a volatile cache has done is lost with its power, until a flush has covered it.
@Suite struct PowerLossTests {
  static let noUnitAccess = Rig.unit(features: [.volatileCache, .discard, .writeZeroes])
  static let eio: UInt32 = 5

  /// Parts of a write that were done when the power failed are done again: the answer is for all of it.
  @Test(arguments: [0, 1, 3, 4]) func aWriteOfSeveralPartsIsWhole(done: Int) throws {
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 4096), queues: 1)
    let first = try rig.startDriver()
    first.holds = true
    let client = try rig.client()
    client.write(1, 8192, [UInt8](repeating: 7, count: 4 * 4096))
    try rig.settle()
    #expect(first.held.count == 4)
    try first.release(first: done)
    if done < 4 { try rig.settle() }
    rig.losePower()
    try rig.startDriver()
    try rig.settle()
    client.flush(2)
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!)
    #expect(replies == [TestReply(error: 0, cookie: 1), TestReply(error: 0, cookie: 2)])
    #expect(rig.disk.durable[8192..<8192 + 4 * 4096].allSatisfy { $0 == 7 })
    #expect(rig.disk.durable.reduce(0) { $0 + ($1 == 0 ? 0 : 1) } == 4 * 4096)
  }

  /// The same for a request of which some parts wait for slots.
  @Test func aWriteThatWaitsForSlotsIsWhole() throws {
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 4096), queues: 1, queueSize: 16)
    let first = try rig.startDriver()
    first.holds = true
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 7, count: 16 * 4096))
    try rig.settle()
    let slots = first.held.count
    try #require(slots < 16)
    try first.release(first: slots - 1)
    try rig.settle()
    rig.losePower()
    try rig.startDriver()
    try rig.settle()
    client.flush(2)
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!).map(\.error) == [0, 0])
    #expect(rig.disk.durable.prefix(16 * 4096).allSatisfy { $0 == 7 })
    #expect(rig.proxy.server.allocator.freePages == 1024)
  }

  /// Force unit access that is made with a flush: the power fails after the write, and before the flush is done.
  @Test func forcedUnitAccessIsDurable() throws {
    let rig = try Rig(unit: Self.noUnitAccess, queues: 1)
    let first = try rig.startDriver()
    let client = try rig.client()
    first.holds = true
    client.write(1, 4096, [UInt8](repeating: 9, count: 4096), flags: NBD.CommandFlags.forceUnitAccess)
    try rig.settle()
    try first.release()
    try rig.settle()
    #expect(first.held.map(\.type) == [.flush])
    rig.losePower()
    try rig.startDriver()
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 1)])
    #expect(rig.disk.durable[4096..<8192].allSatisfy { $0 == 9 })
    #expect(rig.disk.log == [.write, .write, .flush])
  }

  /// What was answered is lost: the flush under way fails, the next one does not; force unit access is not concerned.
  @Test func aFlushTellsWhatIsLost() throws {
    let rig = try Rig(unit: Self.noUnitAccess, queues: 1)
    let first = try rig.startDriver()
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 1, count: 512))
    try rig.settle()
    first.holds = true
    client.flush(2)
    client.write(3, 4096, [UInt8](repeating: 3, count: 512), flags: NBD.CommandFlags.forceUnitAccess)
    try rig.settle()
    rig.losePower()
    try rig.startDriver()
    try rig.settle()
    let replies = try TestReply.parse(client.receive()!).sorted { $0.cookie < $1.cookie }
    #expect(replies.map(\.error) == [0, Self.eio, 0])
    client.flush(4)
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 4)])
    #expect(rig.disk.durable[4096] == 3)
    #expect(rig.disk.durable[0] == 0)
  }

  /// A driver that lied about its disk is followed by one that can do less: what is under way is cut anew for it.
  @Test func theNextDriverCanDoLess() throws {
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 4096, features: [.volatileCache]), queues: 1)
    let lie = Rig.unit(maximumTransfer: 1 << 20, features: [.volatileCache, .forceUnitAccess])
    try rig.startDriver()
    rig.killDriver()
    let first = try rig.startDriver(announcing: lie)
    first.holds = true
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 7, count: 16384), flags: NBD.CommandFlags.forceUnitAccess)
    try rig.settle()
    #expect(first.held.map(\.payloadLength) == [16384])
    rig.killDriver()
    let second = try rig.startDriver()
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 1)])
    #expect(second.taken.map(\.payloadLength) == [4096, 4096, 4096, 4096, 0])
    #expect(second.taken.allSatisfy { !$0.flags.contains(.forceUnitAccess) })
    #expect(rig.disk.durable.prefix(16384).allSatisfy { $0 == 7 })
  }

  /// Without a volatile cache nothing is lost, and nothing done twice.
  @Test func withoutACacheNothingIsDoneAgain() throws {
    let rig = try Rig(unit: Rig.unit(maximumTransfer: 4096, features: []), queues: 1)
    let first = try rig.startDriver()
    first.holds = true
    let client = try rig.client()
    client.write(1, 0, [UInt8](repeating: 7, count: 4 * 4096))
    try rig.settle()
    try first.release(first: 3)
    try rig.settle()
    rig.killDriver()
    rig.proxy.deviceForgot()
    try rig.startDriver()
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!) == [TestReply(error: 0, cookie: 1)])
    #expect(rig.disk.log.count == 4)
  }
}
