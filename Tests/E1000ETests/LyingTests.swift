import DriverKit
import Testing

@testable import E1000E

/// A NIC that lies: about lengths, status, indices. Nothing leaves the arena, no buffer is lost, and the outlet sees
/// whole frames or none.
@Suite struct LyingTests {
  /// Every inbound buffer is in exactly one place.
  private func expectAllBuffers(_ bench: Bench) throws {
    _ = try bench.taken()
    try bench.run()
    let receive = bench.driver.receive
    #expect(receive.pointee.freeCount + receive.pointee.ring.filled == receive.pointee.buffers.count)
    #expect(bench.fake.faults.isEmpty)
  }

  @Test(arguments: [0, 2049, 4096, 65535] as [UInt64]) func dropsImpossibleLengths(length: UInt64) throws {
    let bench = try Bench().start(mtu: 9000)
    bench.fake.forge = { $0 & ~0xFFFF | length }
    bench.fake.receive(Sample.frame(100))
    bench.fake.forge = { $0 }
    bench.fake.receive(Sample.frame(101))
    try bench.run()
    #expect(try bench.taken().map(\.bytes.count) == [101])
    #expect(try bench.driver.statistics()[.implausibleInbound] == 1)
    try expectAllBuffers(bench)
  }

  @Test func dropsAFrameThatIsTooShort() throws {
    let bench = try Bench().start()
    bench.fake.forge = { $0 & ~0xFFFF | 13 }
    bench.fake.receive(Sample.frame(100))
    try bench.run()
    #expect(try bench.taken().isEmpty)
    try expectAllBuffers(bench)
  }

  @Test func dropsAFrameWithAHole() throws {
    let bench = try Bench().start(mtu: 9000)
    // A piece that is not the last says that it is shorter than its buffer.
    bench.fake.forge = { $0 >> 33 & 1 == 0 ? $0 & ~0xFFFF | 1000 : $0 }
    bench.fake.receive(Sample.frame(9000))
    bench.fake.forge = { $0 }
    bench.fake.receive(Sample.frame(9001))
    try bench.run()
    #expect(try bench.taken().map(\.bytes) == [Sample.frame(9001)])
    try expectAllBuffers(bench)
  }

  @Test func endsAFrameWithoutEnd() throws {
    let bench = try Bench(queueSize: 64).start(mtu: 9000)
    bench.fake.forge = { ($0 & ~(1 << 33 | 0xFFFF)) | 2048 }
    for _ in 0..<100 {
      bench.fake.receive(Sample.frame(2048))
      try bench.run()
    }
    #expect(try bench.taken().isEmpty)
    // The lie ends with the next end of a frame; the one after that is whole.
    bench.fake.forge = { $0 }
    bench.fake.receive(Sample.frame(200))
    bench.fake.receive(Sample.frame(201))
    try bench.run()
    #expect(try bench.taken().last?.bytes == Sample.frame(201))
    #expect(try bench.driver.statistics()[.implausibleInbound] == 1)
    try expectAllBuffers(bench)
  }

  @Test func acceptsThatOnlyTheCheckSequenceWasInTheLastBuffer() throws {
    let bench = try Bench().start(mtu: 9000)
    bench.fake.forge = { $0 >> 33 & 1 == 1 ? $0 & ~0xFFFF : $0 }
    bench.fake.receive(Sample.frame(2049))
    try bench.run()
    #expect(try bench.taken().map(\.bytes) == [Array(Sample.frame(2049)[..<2048])])
    try expectAllBuffers(bench)
  }

  @Test func ignoresDescriptorsThatItDidNotFill() throws {
    let bench = try Bench(queueSize: 64).start()
    let ring = bench.driver.receive.pointee.ring.memory
    // Everything is done, says the NIC, the free descriptor as well.
    for index in 0..<ring.length / 16 {
      ring.pointer.storeBytes(of: 3 << 32 | 60, toByteOffset: index * 16 + 8, as: UInt64.self)
    }
    for _ in 0..<10 { try bench.run() }
    try expectAllBuffers(bench)
  }

  @Test func ignoresFramesThatWereNotSent() throws {
    let bench = try Bench(queueSize: 64).start()
    let ring = bench.driver.transmit.pointee.ring.memory
    for index in 0..<ring.length / 16 {
      ring.pointer.storeBytes(of: .max, toByteOffset: index * 16 + 8, as: UInt64.self)
    }
    try bench.run()
    #expect(bench.driver.outbound.outstanding == 64)
    try bench.give(Sample.frame(60))
    try bench.run()
    #expect(bench.fake.wire == [Sample.frame(60)])
    #expect(bench.driver.outbound.outstanding == 64)
  }

  @Test func survivesAnyDescriptor() throws {
    let bench = try Bench(queueSize: 64).start(mtu: 9000)
    var generator = SeededGenerator(seed: 0x82574)
    bench.fake.forge = { word in
      switch UInt64.random(in: 0..<8, using: &generator) {
      case 0: .random(in: 0...UInt64.max, using: &generator)
      case 1: word ^ 1 << UInt64.random(in: 0..<64, using: &generator)
      case 2: word & ~0xFFFF | .random(in: 0...0xFFFF, using: &generator)
      default: word
      }
    }
    let receive = bench.driver.receive.pointee.ring.memory
    let transmit = bench.driver.transmit.pointee.ring.memory
    var sent = 0
    for round in 0..<20_000 {
      bench.fake.receive(Sample.frame(Int.random(in: 14...9014, using: &generator)))
      if round % 3 == 0, try bench.give(Sample.frame(60 + round % 1400)) { sent += 1 }
      if round % 7 == 0 {
        // The NIC writes where it likes in what it can reach.
        let ring = Bool.random(using: &generator) ? receive : transmit
        let word = UInt64.random(in: 0...UInt64.max, using: &generator)
        let place = Int.random(in: 0..<ring.length / 16, using: &generator) * 16 + 8
        ring.pointer.storeBytes(of: word | 1 << 29 | 1 << 20, toByteOffset: place, as: UInt64.self)
      }
      try bench.run()
      #expect(try bench.taken().allSatisfy { (14...9230).contains($0.bytes.count) })
      // A NIC that was confused by its own descriptors is reset, as the watchdog would.
      if round % 50 == 0 || bench.driver.receive.pointee.ring.filled < 4 {
        try bench.driver.adapter.reset(bench.device)
        bench.driver.program()
      }
      bench.fake.faults = []
      bench.fake.wire = []
    }
    bench.fake.forge = { $0 }
    try bench.driver.adapter.reset(bench.device)
    bench.driver.program()
    try bench.run()
    try expectAllBuffers(bench)
    #expect(bench.driver.outbound.outstanding == 64)
    #expect(sent > 1000)
    bench.fake.receive(Sample.frame(777))
    try bench.give(Sample.frame(778))
    try bench.run()
    #expect(try bench.taken().map(\.bytes) == [Sample.frame(777)])
    #expect(bench.fake.wire == [Sample.frame(778)])
  }
}

struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
