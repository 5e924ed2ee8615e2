import DriverKit
import Testing

@testable import E1000E

/// Frames from the wire, through the driver, to the outlet.
@Suite struct ReceiveTests {
  private let noHeader = [UInt8](repeating: 0, count: 12)

  @Test(arguments: [60, 1514, 2048, 2049, 4096, 9014]) func givesWhatCame(length: Int) throws {
    let bench = try Bench().start(mtu: 9000)
    let frame = Sample.frame(length, seed: length)
    #expect(bench.fake.receive(frame))
    try bench.run()
    #expect(try bench.taken() == [Bench.Frame(header: noHeader, bytes: frame)])
    #expect(bench.fake.faults.isEmpty)
  }

  @Test(arguments: [16, 256, 1024]) func goesRoundTheRings(queueSize: Int) throws {
    let bench = try Bench(queueSize: queueSize).start(mtu: 9000)
    var sent = 0
    for round in 0..<200 {
      var expected: [[UInt8]] = []
      for index in 0..<3 {
        let frame = Sample.frame(60 + (round * 31 + index * 997) % 3000, seed: sent)
        if bench.fake.receive(frame) {
          expected.append(frame)
          sent += 1
        }
      }
      try bench.run()
      #expect(try bench.taken().map(\.bytes) == expected)
      try bench.run()
    }
    #expect(sent == 600)
    #expect(bench.driver.inbound.outstanding == 0)
  }

  /// Status: IPCS, TCPCS, UDPCS in bits 6, 5, 4, IXSM in bit 2; errors: IPE, TCPE in bits 6, 5.
  @Test(arguments: [
    (0x60, 0x00, true), (0x50, 0x00, true), (0x40, 0x00, false), (0x64, 0x00, false), (0x60, 0x20, false),
    (0x60, 0x40, false),
  ])
  func saysWhichChecksumsAreRight(status: UInt64, errors: UInt64, isValid: Bool) throws {
    let bench = try Bench().start()
    bench.fake.receive(Sample.frame(80), status: status, errors: errors)
    try bench.run()
    let frame = try #require(try bench.taken().first)
    #expect(frame.header == [isValid ? 2 : 0] + noHeader[1...])
  }

  @Test func staysSilentOfChecksumsIfTold() throws {
    let bench = try Bench(options: ["checksum=0"]).start()
    #expect(bench.port?.offloads == [])
    #expect(bench.fake.registers[0x5000] == 0)
    bench.fake.receive(Sample.frame(80), status: 0x60)
    try bench.run()
    #expect(try bench.taken().first?.header == noHeader)
  }

  /// CE, SE, SEQ, CXE, RXE.
  @Test(arguments: [0x01, 0x02, 0x04, 0x10, 0x80] as [UInt64]) func dropsDamagedFrames(errors: UInt64) throws {
    let bench = try Bench().start(mtu: 9000)
    bench.fake.receive(Sample.frame(5000), errors: errors)
    bench.fake.receive(Sample.frame(70))
    try bench.run()
    #expect(try bench.taken().map(\.bytes.count) == [70])
    #expect(try bench.driver.statistics()[.droppedInbound] == 1)
  }

  @Test func losesFramesInTheNICWhileTheOutletSleeps() throws {
    let bench = try Bench(queueSize: 64).start()
    var accepted = 0
    for index in 0..<200 {
      if bench.fake.receive(Sample.frame(64, seed: index)) { accepted += 1 }
      try bench.run()
    }
    // Every buffer holds a frame that waits for the outlet.
    #expect(accepted == 64)
    #expect(bench.driver.inbound.wantsWake)
    #expect(try bench.taken().map(\.bytes) == (0..<64).map { Sample.frame(64, seed: $0) })
    try bench.run()
    #expect(!bench.driver.inbound.wantsWake)
    #expect(bench.fake.receive(Sample.frame(65)))
    try bench.run()
    #expect(try bench.taken().count == 1)
    #expect(try bench.driver.statistics()[.missedFrames] == 136)
  }

  @Test func tellsTheNICOfBuffersInBatches() throws {
    let bench = try Bench(queueSize: 256).start()
    let before = bench.fake.accesses
    for _ in 0..<160 {
      #expect(bench.fake.receive(Sample.frame(64)))
      try bench.run()
      _ = try bench.taken()
      try bench.run()
    }
    #expect(bench.fake.accesses - before == 10)
  }

  @Test func passesTagsThrough() throws {
    let bench = try Bench().start()
    let (frame, _, _) = Sample.tcp(version: 4, payload: 1456, tags: 1)
    bench.fake.receive(frame)
    try bench.run()
    #expect(try bench.taken().map(\.bytes) == [frame])
    #expect(bench.fake.registers[0x0000]! >> 30 & 1 == 0, "CTRL.VME takes tags out")
    #expect(bench.fake.registers[0x0100]! >> 18 & 1 == 0, "RCTL.VFE filters by tag")
  }
}
