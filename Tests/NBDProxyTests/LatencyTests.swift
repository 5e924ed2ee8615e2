import Glibc
import Platform
import Protocol
import Testing

@testable import NBDProxy

@Suite struct LatencyTests {
  private func counts(_ rig: Rig) -> [RequestKind: UInt64] {
    Dictionary(uniqueKeysWithValues: rig.proxy.latencies.map { ($0.kind, $0.counts.reduce(0, +)) })
  }

  /// Every kind has its own histogram, and each request is in one bucket of it.
  @Test func eachRequestIsCountedOnce() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    for number in 0..<3 { client.write(UInt64(number), UInt64(number * 512), [UInt8](repeating: 1, count: 512)) }
    for number in 0..<5 { client.read(UInt64(10 + number), 0, 4096) }
    client.send(TestClient.request(NBD.Command.writeZeroes, cookie: 20, offset: 0, length: 4096))
    client.send(TestClient.request(NBD.Command.flush, cookie: 21))
    client.send(TestClient.request(NBD.Command.trim, cookie: 22, offset: 0, length: 4096))
    try rig.settle()
    #expect(counts(rig) == [.read: 5, .write: 4, .flush: 1, .discard: 1])
    let counters = rig.proxy.dispatcher.counters
    #expect(counters.reads == 5 && counters.writes == 4 && counters.flushes == 1 && counters.discards == 1)
  }

  /// What is refused outright was not accepted; nobody is to think that the device was fast.
  @Test func whatIsRefusedHasNoLatency() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    client.read(1, rig.unit.size, 512)
    try rig.settle()
    #expect(try TestReply.parse(client.receive()!).first?.error == NBD.ErrorCode.invalid)
    #expect(counts(rig).values.allSatisfy { $0 == 0 })
  }

  /// A request that the next driver answers has waited for it, and the histogram outlives drivers.
  @Test func theTimeWithoutADriverCounts() throws {
    let rig = try Rig()
    try rig.startDriver()
    let client = try rig.client()
    client.read(1, 0, 512)
    try rig.settle()
    rig.killDriver()
    client.read(2, 0, 512)
    try rig.settle()
    usleep(5000)
    #expect(counts(rig)[.read] == 1)
    try rig.startDriver()
    try rig.settle()
    let reads = try #require(rig.proxy.latencies.first { $0.kind == .read })
    #expect(counts(rig)[.read] == 2)
    #expect(reads.total >= 5_000_000)
    // More than 4096 microseconds.
    #expect(reads.counts[13...].reduce(0, +) >= 1)
  }

  /// One reading for a batch: as long as it is not over, time stands still.
  @Test func timeStandsStillInABatch() {
    let table = LatencyTable()
    defer { table.deallocate() }
    let begin = table.now
    usleep(2000)
    table.count(.write, since: begin)
    table.endBatch()
    table.count(.write, since: begin)
    let writes = table.histograms[Int(RequestKind.write.rawValue)]
    #expect(writes.counts[0] == 1, "none of the two milliseconds")
    #expect(writes.counts[11...].reduce(0, +) == 1)
    #expect(writes.total >= 2_000_000)
  }

  /// The clock of the batch is never ahead of a request, but nothing breaks if it were.
  @Test func whatWouldBeNegativeIsNothing() {
    let table = LatencyTable()
    defer { table.deallocate() }
    table.count(.flush, since: table.now + 1_000_000)
    #expect(table.histograms[Int(RequestKind.flush.rawValue)].counts[0] == 1)
    #expect(table.histograms[Int(RequestKind.flush.rawValue)].total == 0)
  }
}
