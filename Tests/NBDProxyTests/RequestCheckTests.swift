import Glibc
import Protocol
import Testing

@testable import NBDProxy

@Suite struct RequestCheckTests {
  private static let writable: NBD.TransmissionFlags = [
    .hasFlags, .sendFlush, .sendFUA, .sendTrim, .sendWriteZeroes, .canMultiConn, .sendCache,
  ]

  private static func verdict(
    _ command: UInt16, _ offset: UInt64 = 0, _ length: UInt32 = 512, flags: UInt16 = 0,
    exportFlags: NBD.TransmissionFlags = writable, cache: Bool = true, fua: Bool = true
  ) -> RequestVerdict {
    let export = ExportLimits(
      size: 1 << 20, blockSize: 512, maximumPayload: 65536, flags: exportFlags, hasForceUnitAccess: fua,
      hasVolatileCache: cache)
    let bytes = TestClient.request(command, cookie: 1, offset: offset, length: Int(length), flags: flags)
    return RequestVerdict(bytes.withUnsafeBytes { RequestHeader($0.baseAddress!)! }, export)
  }

  @Test func header() {
    let bytes = TestClient.request(6, cookie: 0x0102_0304_0506_0708, offset: 1 << 40, length: 0x8000_0001, flags: 3)
    let header = bytes.withUnsafeBytes { RequestHeader($0.baseAddress!) }
    #expect(header?.command == 6 && header?.flags == 3 && header?.cookie == 0x0102_0304_0506_0708)
    #expect(header?.offset == 1 << 40 && header?.length == 0x8000_0001)
    #expect([UInt8](repeating: 0, count: 28).withUnsafeBytes { RequestHeader($0.baseAddress!) } == nil)
  }

  @Test func errorsByTheBook() {
    let invalid = RequestVerdict.answer(22)
    let end: UInt64 = 1 << 20
    // Beyond the end: EINVAL for reading and trimming, ENOSPC for writing.
    #expect(Self.verdict(0, end) == invalid)
    #expect(Self.verdict(0, .max - 511) == invalid)
    #expect(Self.verdict(4, end) == invalid)
    #expect(Self.verdict(1, end) == .answer(28))
    #expect(Self.verdict(6, .max - 511) == .answer(28))
    // Unaligned.
    for command: UInt16 in [0, 1, 4, 5, 6] {
      #expect(Self.verdict(command, 1) == invalid)
      #expect(Self.verdict(command, 0, 513) == invalid)
    }
    // Read-only.
    let readOnly: NBD.TransmissionFlags = [.hasFlags, .readOnly, .sendFlush, .sendFUA]
    for command: UInt16 in [1, 4, 6] { #expect(Self.verdict(command, exportFlags: readOnly) == .answer(1)) }
    // Too large; trim and zeroes carry no payload and may be larger.
    #expect(Self.verdict(0, 0, 65536 + 512) == .answer(75))
    #expect(Self.verdict(1, 0, 65536 + 512) == invalid)
    #expect(Self.verdict(6, 0, 1 << 20) == .carryOut(.writeZeroes, .mayDeallocate, flushAfter: false))
    // Flags that a command does not know; FAST_ZERO was not offered.
    #expect(Self.verdict(0, flags: 4) == invalid)
    #expect(Self.verdict(6, flags: 16) == invalid)
    #expect(Self.verdict(1, flags: 2) == invalid)
    // Not offered, or unknown.
    #expect(Self.verdict(4, exportFlags: [.hasFlags]) == invalid)
    #expect(Self.verdict(6, exportFlags: [.hasFlags]) == invalid)
    #expect(Self.verdict(7) == invalid)
    #expect(Self.verdict(0xFFFF) == invalid)
    // Flush has no range.
    #expect(Self.verdict(3) == invalid)
    #expect(Self.verdict(3, 0, 0) == .carryOut(.flush, [], flushAfter: false))
    // Nothing to do.
    for command: UInt16 in [0, 1, 4, 5, 6] { #expect(Self.verdict(command, 0, 0) == .answer(0)) }
    #expect(Self.verdict(2, 5, 5) == .disconnect)
  }

  @Test func forceUnitAccess() {
    #expect(Self.verdict(1, flags: 1) == .carryOut(.write, .forceUnitAccess, flushAfter: false))
    #expect(Self.verdict(1, flags: 1, fua: false) == .carryOut(.write, [], flushAfter: true))
    #expect(Self.verdict(1, flags: 1, cache: false) == .carryOut(.write, [], flushAfter: false))
    #expect(Self.verdict(6, flags: 3) == .carryOut(.writeZeroes, .forceUnitAccess, flushAfter: false))
    #expect(Self.verdict(4, flags: 1) == .carryOut(.discard, [], flushAfter: true))
    #expect(Self.verdict(0, flags: 1) == .carryOut(.read, [], flushAfter: false))
    #expect(Self.verdict(3, 0, 0, flags: 1) == .carryOut(.flush, [], flushAfter: false))
  }
}

@Suite struct CompletionStatusTests {
  private func status(_ status: UInt64, errno: Int32 = 0, zero: UInt64 = 0, tag: UInt64 = 7) -> CompletionStatus {
    CompletionStatus(status | zero << 8 | UInt64(errno) << 16 | tag << 32, tag: 7)
  }

  @Test func everyAnswerIsJudged() {
    #expect(status(0) == .done(0))
    #expect(status(1, errno: EIO) == .done(5))
    #expect(status(1) == .done(5))
    #expect(status(1, errno: ENOSPC) == .done(28))
    #expect(status(1, errno: ENODATA) == .done(5))
    #expect(status(1, errno: EROFS) == .done(1))
    #expect(status(2, errno: 0) == .done(95))
    #expect(status(0, errno: EIO) == .invalid)
    #expect(status(1, errno: 4000) == .invalid)
    #expect(status(3) == .invalid)
    #expect(status(0, zero: 1) == .invalid)
    #expect(status(0, tag: 6) == .stale)
    // As primed: nothing was written.
    #expect(CompletionStatus(.max, tag: 7) == .stale)
    #expect(CompletionStatus(.max, tag: .max) == .invalid)
  }
}
