import DriverKit
import Glibc
import Testing

@testable import NVMe

/// Failures of the controller: what the broker sees is an answer or a recovery, never silence.
@Suite struct RecoveryTests {
  private let success = Bench.Answer(status: 0, errno: 0, length: 8)

  @Test func retriesWhatMayBeRetried() throws {
    let bench = try Bench().start()
    bench.fake.statuses = [0x0006, 0x0280]
    #expect(try bench.request(.write, sectors: 1) == success)
    #expect(bench.fake.log.count == 3)
    #expect(Set(bench.fake.log.map(\.commandID)).count == 3)
  }

  @Test func givesUpAfterThreeRetries() throws {
    let bench = try Bench().start()
    bench.fake.statuses = [0x0006, 0x0006, 0x0006, 0x0006]
    #expect(try bench.request(.write, sectors: 1) == Bench.Answer(status: 1, errno: EIO, length: 8))
    #expect(bench.fake.log.count == 4)
  }

  @Test(arguments: [(UInt16(0x4081), ENOSPC, UInt8(1)), (0x4282, EILSEQ, 1), (0x4001, EOPNOTSUPP, 2)])
  func doesNotRetryWhatMustNotBeRetried(status: UInt16, errno: Int32, answer: UInt8) throws {
    let bench = try Bench().start()
    bench.fake.statuses = [status]
    #expect(try bench.request(.write, sectors: 1) == Bench.Answer(status: answer, errno: errno, length: 8))
    #expect(bench.fake.log.count == 1)
  }

  @Test func ignoresUnknownAndRepeatedCompletions() throws {
    let bench = try Bench().start()
    bench.fake.repeatsCompletions = true
    #expect(try bench.request(.write, sectors: 1) == success)
    #expect(try bench.request(.write, sectors: 1) == success)
    #expect(bench.driver.unknownCompletions == 2)
    bench.fake.repeatsCompletions = false
    bench.fake.identifier = { $0 ^ 0x400 }
    #expect(try bench.request(.write, sectors: 1) == nil)
    bench.fake.identifier = { _ in 0x3ff }
    bench.submit(.write, slot: 1, sectors: 1)
    try bench.run()
    #expect(try bench.answers().isEmpty)
    #expect(bench.driver.unknownCompletions == 4)
  }

  @Test func abortsThenResetsAndRequeues() throws {
    let bench = try Bench(options: ["timeout-ms=2000"]).start()
    bench.payloadBytes[0] = 0x5a
    bench.fake.swallow = 1
    #expect(try bench.request(.write, sector: 7, sectors: 1) == nil)
    try bench.tick(3)
    let abort = try #require(bench.fake.admin.last)
    #expect(abort.opcode == 8)
    #expect(abort.dword10 == UInt32(bench.fake.log[0].commandID) << 16 | 1)
    #expect(bench.fake.starts == 1)
    try bench.tick(3)
    #expect(bench.fake.starts == 2)
    #expect(try bench.answers()[0] == success)
    #expect(bench.fake.disk[7 * 512] == 0x5a)
  }

  @Test func givesUpOnACommandThatNeverReturns() throws {
    let bench = try Bench(options: ["timeout-ms=2000"]).start()
    bench.fake.swallow = .max
    bench.submit(.write, sectors: 1)
    try bench.run()
    #expect { try bench.tick(20) } throws: { ($0 as? DriverFailure)?.code == .timeout }
    #expect(bench.fake.starts == 2)
  }

  @Test func resetsAControllerWithAFatalError() throws {
    let bench = try Bench().start()
    bench.fake.swallow = 1
    bench.submit(.write, sectors: 1)
    try bench.run()
    bench.fake.isFatal = true
    try bench.tick(1)
    #expect(bench.fake.starts == 2)
    #expect(try bench.answers()[0] == success)
  }

  @Test func noticesADeviceThatIsGone() throws {
    let bench = try Bench().start()
    bench.fake.swallow = 1
    bench.submit(.write, sectors: 1)
    try bench.run()
    bench.fake.isGone = true
    #expect { try bench.tick(1) } throws: { ($0 as? DriverFailure)?.code == .deviceGone }
  }

  @Test func watchesOnlyWhileSomethingIsInFlight() throws {
    let bench = try Bench().start()
    #expect(!bench.driver.isWatching)
    #expect(try bench.request(.write, sectors: 1) == success)
    #expect(bench.driver.isWatching)
    try bench.tick(1)
    #expect(!bench.driver.isWatching)
  }

  @Test func failsToStartWithinTheDeadlineOfTheDevice() throws {
    let bench = try Bench { fake in
      fake.neverBecomesReady = true
      fake.capabilities = fake.capabilities & ~(0xff << 24) | 1 << 24
    }
    #expect { try bench.start() } throws: { ($0 as? DriverFailure)?.code == .timeout }
  }

  @Test func failsToStartOnADeviceThatIsGone() throws {
    let bench = try Bench { $0.isGone = true }
    #expect { try bench.start() } throws: { ($0 as? DriverFailure)?.code == .deviceGone }
  }

  @Test func leavesOutFormatsWithMetadata() throws {
    let bench = try Bench { $0.metadataSize = 8 }
    #expect { try bench.start() } throws: { ($0 as? DriverFailure)?.code == .unsupported }
  }

  @Test func makesDoWithFewerQueuesThanAskedFor() throws {
    let bench = try Bench(interrupts: 1) { $0.queueLimit = 1 }.start()
    #expect(bench.fake.completion[1]?.vector == 0)
    #expect(try bench.request(.write, sectors: 1) == success)
  }

  @Test func shutsTheControllerDown() throws {
    let bench = try Bench().start()
    #expect(bench.fake.completion[1]?.vector == 1)
    try bench.driver.stop()
    #expect(bench.fake.submission.isEmpty && bench.fake.completion.isEmpty)
    #expect(bench.fake.registers[0x14]! >> 14 & 3 == 1)
    #expect(bench.fake.registers[0x14]! & 1 == 0)
  }
}
