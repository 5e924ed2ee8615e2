import CBulkhead
import DriverKit
import Platform
import Testing

@testable import VirtioNet

/// A device that lies about indexes, ids and lengths. Nothing leaves the arena, no buffer is in two places, and the
/// outlet sees whole frames or none.
@Suite struct LyingTests {
  private func expectAllBuffers(_ bench: Bench) throws {
    _ = try bench.taken()
    try bench.run()
    let receive = bench.driver.receive
    #expect(receive.pointee.idleCount + receive.pointee.ring.outstanding == receive.pointee.ring.size)
    #expect(bench.fake.faults.isEmpty)
  }

  @Test(arguments: [0, 11, 12, 25, 9035, 65_536, 0xFFFF_FFFF] as [UInt32])
  func dropsImpossibleLengths(length: UInt32) throws {
    let bench = try Bench().start(mtu: 9000)
    bench.fake.forge = { id, _ in (id, length) }
    bench.fake.receive(Sample.frame(100))
    bench.fake.forge = { ($0, $1) }
    bench.fake.receive(Sample.frame(101))
    try bench.run()
    #expect(try bench.taken().map(\.bytes.count) == [101])
    #expect(try bench.driver.statistics()[.implausibleInbound] == 1)
    try expectAllBuffers(bench)
  }

  @Test func dropsSegmentsThatItDidNotAskFor() throws {
    let bench = try Bench().start()
    for kind in [1, 3, 4, 5, 0x80, 0x81] as [UInt8] {
      bench.fake.receive(Sample.frame(100), header: Sample.header(kind: kind, size: 10, buffers: 1))
    }
    bench.fake.receive(Sample.frame(100), header: Sample.header(start: 99, offset: 0, buffers: 1))
    try bench.run()
    #expect(try bench.taken().isEmpty && bench.driver.statistics()[.implausibleInbound] == 7)
    try expectAllBuffers(bench)
  }

  @Test(arguments: [0, 1]) func givesUpAnIndexThatRanAhead(queue: Int) throws {
    let bench = try Bench().start()
    bench.fake.queues[queue].runAhead(300, bench.fake)
    #expect(Bench.code { try bench.run() } == .deviceError)
  }

  /// One step ahead is within what is outstanding; then it is the id that must be one that the device has.
  @Test func givesUpAnIdThatTheDeviceDoesNotHave() throws {
    for id in [256, 65_536, 0xFFFF_FFFF] as [UInt32] {
      let bench = try Bench().start()
      bench.fake.forge = { _, length in (id, length) }
      bench.fake.receive(Sample.frame(100))
      #expect(Bench.code { try bench.run() } == .deviceError)
    }
    let bench = try Bench().start()
    var first: UInt32?
    bench.fake.forge = { id, length in
      first = first ?? id
      return (first ?? id, length)
    }
    bench.fake.receive(Sample.frame(100))
    bench.fake.receive(Sample.frame(100))
    #expect(Bench.code { try bench.run() } == .deviceError, "the same one twice")
    let sender = try Bench().start()
    sender.fake.forge = { id, length in (id + 1, length) }
    try sender.give(Sample.frame(100))
    #expect(Bench.code { try sender.run() } == .deviceError, "a frame that was not sent")
  }

  /// The device writes what it likes into the used rings, all of its memory that the driver reads. The driver may give up; what it gives to the outlet and to
  /// the device stays in the arena, which the bench checks for each frame.
  @Test func survivesAnything() throws {
    var (failures, passed) = (0, 0)
    for seed in 0..<50 as Range<UInt64> {
      var generator = SeededGenerator(seed: seed)
      let bench = try Bench(queueSize: 16).start(mtu: 9000)
      do {
        for round in 0..<100 {
          let size = Int.random(in: 14...1514, using: &generator)
          bench.fake.receive(
            Sample.frame(size), header: (0..<12).map { _ in UInt8.random(in: 0...4, using: &generator) })
          try bench.give(Sample.frame(60 + round))
          if round % 10 == 9 {
            for queue in bench.fake.queues[..<2] {
              let length = 6 + queue.size * 8
              guard let place = bench.arena.find(queue.device, length) else { continue }
              let word = UInt16.random(in: 0...(round % 20 == 9 ? 32 : .max), using: &generator)
              bh_store16(place + Int.random(in: 0..<length / 2, using: &generator) * 2, word)
            }
          }
          try bench.run()
          passed += try bench.taken().count { (14...9022).contains($0.bytes.count) }
          bench.fake.faults = []
        }
      } catch let failure as DriverFailure {
        #expect(failure.code == .deviceError)
        failures += 1
      }
    }
    #expect(failures > 10 && passed > 100, "\(failures) failures, \(passed) frames")
  }
}
