import CCounting
import Glibc
import Protocol
import Testing

@testable import NBDProxy

/// What requests cost the broker, counted while they run. `lab/hot-path` reads the optimized code, for every way through
/// it, the counts of references too, and for the driver as well; this one sees what cannot be read there.
@Suite(.serialized) struct HotPathTests {
  private static let requests = 1024

  /// Sends requests in batches, lets everybody work, and counts in the broker's turns only.
  private func count(
    _ agreement: Agreement, command: UInt16, length: Int, depth: Int = 16
  ) throws -> UInt64 {
    let rig = try Rig(unit: Rig.unit(blocks: 1024))
    let driver = try rig.startDriver()
    let client = try rig.client(agreement)
    var reader = [UInt8](repeating: 0, count: 1 << 20)
    let payload = [UInt8](repeating: 1, count: command == NBD.Command.write ? length : 0)
    let isFlush = command == NBD.Command.flush
    let batch = (0..<depth).flatMap {
      TestClient.request(
        command, cookie: UInt64($0), offset: isFlush ? 0 : UInt64($0 * length), length: isFlush ? 0 : length,
        payload: payload)
    }
    func turn() throws {
      counting_resume()
      let worked = rig.proxy.poll()
      try rig.loop.turn(waiting: 0)
      counting_pause()
      _ = worked
      _ = try driver.serve()
    }
    func round() throws {
      client.send(batch)
      for _ in 0..<8 { try turn() }
      _ = reader.withUnsafeMutableBytes { recv(client.file, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT)) }
    }
    // Whatever is made once is made.
    for _ in 0..<4 { try round() }
    counting_begin()
    counting_pause()
    for _ in 0..<Self.requests / depth { try round() }
    let counters = rig.proxy.dispatcher.counters
    #expect(counters.reads + counters.writes + counters.flushes == UInt64(Self.requests + 4 * depth), "all were served")
    #expect(counters.errors == 0)
    let measured = rig.proxy.latencies.reduce(0) { $0 + $1.counts.reduce(0, +) }
    #expect(measured == UInt64(Self.requests + 4 * depth), "all were measured")
    return counting_allocations()
  }

  @Test(arguments: [NBD.Command.read, NBD.Command.write, NBD.Command.flush, NBD.Command.writeZeroes])
  func nothingIsAllocated(command: UInt16) throws {
    for agreement: Agreement in [[], .structuredReplies] {
      #expect(try count(agreement, command: command, length: 4096) == 0)
    }
  }

  /// The counting itself counts.
  @Test func whatIsAllocatedIsSeen() {
    counting_begin()
    var objects: [AnyObject] = []
    for _ in 0..<10 { objects.append(SendParts()) }
    counting_pause()
    #expect(objects.count == 10)
    #expect(counting_allocations() >= 30)
  }
}
