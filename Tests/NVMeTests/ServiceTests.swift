import DriverKit
import Glibc
import Testing

@testable import NVMe

/// Requests of the broker, through the driver, to the medium and back.
@Suite struct ServiceTests {
  private let success = Bench.Answer(status: 0, errno: 0, length: 8)

  @Test func announcesTheNamespace() throws {
    let bench = try Bench().start()
    let unit = try #require(bench.units.first)
    #expect(bench.units.count == 1)
    #expect(unit.blockSize == 512 && unit.blocks == 4096 && unit.identifier == 1)
    #expect(unit.maximumTransfer == 4096 << 7)
    #expect(unit.atomicWrite == 8 * 512)
    #expect(unit.model == "Fake controller" && unit.serial == "SERIAL-7")
    #expect(unit.worldWideName == "eui.ab00000000000000")
    #expect(unit.features == [.forceUnitAccess, .volatileCache, .discard, .writeZeroes])
  }

  @Test(arguments: [9, 12]) func writesAndReadsBack(blockShift: Int) throws {
    let bench = try Bench(blocks: 1 << (21 - blockShift), blockShift: blockShift).start()
    let bytes = bench.payloadBytes
    for index in 0..<65536 { bytes[index + 4096] = UInt8(truncatingIfNeeded: index &* 31 >> 3) }
    #expect(try bench.request(.write, sector: 16, sectors: 128, at: 4096) == success)
    #expect(Array(bench.fake.disk[8192..<8192 + 65536]) == Array(bytes[4096..<4096 + 65536]))
    #expect(
      try bench.request(.read, sector: 24, sectors: 64, at: 1 << 20)
        == Bench.Answer(status: 0, errno: 0, length: 32768 + 8))
    #expect(Array(bytes[(1 << 20)..<(1 << 20) + 32768]) == Array(bytes[8192..<8192 + 32768]))
    #expect(bench.fake.faults.isEmpty)
  }

  @Test func usesTheWholeTransferSizeFromAnyOffset() throws {
    let bench = try Bench(blocks: 8192).start()
    for offset in [0, 4, 512, 4092] {
      let bytes = bench.payloadBytes
      for index in 0..<524288 { bytes[index + offset] = UInt8(truncatingIfNeeded: index >> 9 &+ offset) }
      #expect(try bench.request(.write, sector: 3, sectors: 1024, at: offset) == success)
      #expect(Array(bench.fake.disk[1536..<1536 + 524288]) == Array(bytes[offset..<offset + 524288]))
    }
    #expect(bench.fake.faults.isEmpty)
  }

  @Test func setsForceUnitAccess() throws {
    let bench = try Bench().start()
    #expect(try bench.request(.write, sectors: 8, flags: .forceUnitAccess) == success)
    #expect(try bench.request(.write, sectors: 8) == success)
    #expect(bench.fake.log.map { $0.dword12 >> 30 } == [1, 0])
  }

  @Test func flushes() throws {
    let bench = try Bench().start()
    #expect(try bench.request(.flush) == success)
    #expect(bench.fake.log.map(\.opcode) == [0])
    #expect(bench.fake.log[0].namespace == 1)
  }

  @Test func splitsWriteZeroesAtSixteenBits() throws {
    let bench = try Bench(blocks: 140_000).start()
    bench.fake.disk = [UInt8](repeating: 0xff, count: bench.fake.disk.count)
    #expect(
      try bench.request(.writeZeroes, sector: 1, sectors: 131_073, flags: [.mayDeallocate, .forceUnitAccess])
        == success)
    #expect(bench.fake.log.map { $0.dword12 } == [0xffff, 0xffff, 0].map { $0 | 1 << 25 | 1 << 30 })
    #expect(bench.fake.log.map { $0.dword10 } == [1, 65537, 131_073])
    #expect(bench.fake.disk[511] == 0xff && bench.fake.disk[131_074 * 512] == 0xff)
    let zeroes = [UInt8](repeating: 0, count: 131_073 * 512)
    #expect(bench.fake.disk.withUnsafeBytes { memcmp($0.baseAddress! + 512, zeroes, zeroes.count) } == 0)
  }

  @Test func deallocatesOnlyWhereThatReadsAsZeroes() throws {
    let bench = try Bench { $0.deallocation = 8 }.start()
    #expect(try bench.request(.writeZeroes, sectors: 8, flags: .mayDeallocate) == success)
    #expect(bench.fake.log.map { $0.dword12 >> 25 & 1 } == [0])
  }

  @Test func discards() throws {
    let bench = try Bench().start()
    bench.fake.disk = [UInt8](repeating: 0xff, count: bench.fake.disk.count)
    #expect(try bench.request(.discard, sector: 100, sectors: 50) == success)
    #expect(bench.fake.disk[51_200..<76_800].allSatisfy { $0 == 0 })
    #expect(bench.fake.disk[51_199] == 0xff && bench.fake.disk[76_800] == 0xff)
    #expect(bench.fake.log[0].dword11 == 4)
  }

  @Test(arguments: [
    (BlockClass.RequestType.read, UInt64(4095), UInt32(2)), (.write, 4096, 1), (.write, 1 << 50, 1),
    (.writeZeroes, 4000, 97), (.discard, 4096, 1), (.read, 0, 1025),
  ])
  func refusesWhatIsOutsideTheUnit(type: BlockClass.RequestType, sector: UInt64, sectors: UInt32) throws {
    let bench = try Bench().start()
    let answer = try bench.request(type, sector: sector, sectors: sectors)
    #expect(answer == Bench.Answer(status: 1, errno: EINVAL, length: 8))
    #expect(bench.fake.log.isEmpty)
  }

  @Test func refusesPartsOfBlocksAndUnknownUnits() throws {
    let bench = try Bench(blocks: 512, blockShift: 12).start()
    let refused = Bench.Answer(status: 1, errno: EINVAL, length: 8)
    #expect(try bench.request(.read, sector: 1, sectors: 8) == refused)
    #expect(try bench.request(.read, sector: 8, sectors: 7) == refused)
    #expect(try bench.request(.read, sector: 8, sectors: 8, unit: 1) == refused)
    #expect(try bench.request(.read, sector: 8, sectors: 8, at: 2) == refused)
    #expect(bench.fake.log.isEmpty)
  }

  @Test func keepsManyInFlightAndInOrderOfSlots() throws {
    let bench = try Bench().start()
    for round in 0..<20 {
      for slot in 0..<16 { bench.submit(.write, slot: slot, sector: UInt64(slot), sectors: 1, at: slot * 512) }
      try bench.run()
      let answers = try bench.answers()
      #expect(answers.count == 16 && answers.values.allSatisfy { $0 == success }, "round \(round)")
    }
    #expect(bench.fake.log.count == 320)
    #expect(Set(bench.fake.log.map(\.commandID)).count > 16)
  }
}
