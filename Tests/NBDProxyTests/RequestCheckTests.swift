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
    exportFlags: NBD.TransmissionFlags = writable, cache: Bool = true, fua: Bool = true, agreement: Agreement = []
  ) -> RequestVerdict {
    let export = ExportLimits(
      size: 1 << 20, blockSize: 512, maximumPayload: 65536, flags: exportFlags, hasForceUnitAccess: fua,
      hasVolatileCache: cache)
    let bytes = TestClient.request(command, cookie: 1, offset: offset, length: Int(length), flags: flags)
    return RequestVerdict(bytes.withUnsafeBytes { RequestHeader($0.baseAddress!)! }, export, agreement)
  }

  @Test func header() {
    let bytes = TestClient.request(6, cookie: 0x0102_0304_0506_0708, offset: 1 << 40, length: 0x8000_0001, flags: 3)
    let header = bytes.withUnsafeBytes { RequestHeader($0.baseAddress!) }
    #expect(header?.command == 6 && header?.flags == 3 && header?.cookie == 0x0102_0304_0506_0708)
    #expect(header?.offset == 1 << 40 && header?.length == 0x8000_0001)
    #expect([UInt8](repeating: 0, count: 28).withUnsafeBytes { RequestHeader($0.baseAddress!) } == nil)
  }

  @Test func errorsByTheBook() {
    let end: UInt64 = 1 << 20
    // Beyond the end: EINVAL for reading, trimming and asking, ENOSPC for writing.
    #expect(Self.verdict(0, end) == .refuse(.outside))
    #expect(Self.verdict(0, .max - 511) == .refuse(.outside))
    #expect(Self.verdict(4, end) == .refuse(.outside))
    #expect(Self.verdict(5, end) == .refuse(.outside))
    #expect(Self.verdict(1, end) == .refuse(.beyondEnd))
    #expect(Self.verdict(6, .max - 511) == .refuse(.beyondEnd))
    // Unaligned.
    for command: UInt16 in [0, 1, 4, 5, 6] {
      #expect(Self.verdict(command, 1) == .refuse(.unaligned))
      #expect(Self.verdict(command, 0, 513) == .refuse(.unaligned))
    }
    // Read-only.
    let readOnly: NBD.TransmissionFlags = [.hasFlags, .readOnly, .sendFlush, .sendFUA]
    for command: UInt16 in [1, 4, 6] { #expect(Self.verdict(command, exportFlags: readOnly) == .refuse(.readOnly)) }
    for command: UInt16 in [0, 5] { #expect(Self.verdict(command, exportFlags: readOnly) != .refuse(.readOnly)) }
    // Flags that a command does not know.
    for (command, flags) in [
      (0, 2), (0, 8), (1, 2), (1, 4), (1, 16), (4, 2), (5, 2), (6, 4), (6, 8), (1, 32), (0, 0x8000),
    ] {
      #expect(
        Self.verdict(UInt16(command), flags: UInt16(flags)) == .refuse(.flag), "command \(command) flags \(flags)")
    }
    #expect(Self.verdict(3, 0, 0, flags: 2) == .refuse(.flag))
    // Not offered, or unknown.
    #expect(Self.verdict(4, exportFlags: [.hasFlags]) == .refuse(.notOffered))
    #expect(Self.verdict(6, exportFlags: [.hasFlags]) == .refuse(.notOffered))
    for command: UInt16 in [8, 9, 77, 0xFFFF] { #expect(Self.verdict(command) == .refuse(.notOffered)) }
    // Flush has no range.
    #expect(Self.verdict(3) == .refuse(.flushRange))
    #expect(Self.verdict(3, 512, 0) == .refuse(.flushRange))
    #expect(Self.verdict(3, 0, 0) == .carryOut(.flush, [], flushAfter: false))
    // Nothing to do.
    for command: UInt16 in [0, 1, 4, 5, 6] { #expect(Self.verdict(command, 0, 0) == .done) }
    #expect(Self.verdict(5) == .done)
    #expect(Self.verdict(2, 5, 5) == .disconnect)
  }

  /// "Size constraints": EOVERFLOW only for those who read chunks; trim and zeroes carry no payload and may be larger.
  @Test func moreThanTheMaximumPayload() {
    #expect(Self.verdict(0, 0, 65536 + 512) == .refuse(.tooLong))
    #expect(Self.verdict(0, 0, 65536 + 512, agreement: .structuredReplies) == .refuse(.tooLongToRead))
    #expect(Self.verdict(1, 0, 65536 + 512) == .refuse(.tooLong))
    #expect(Self.verdict(6, 0, 1 << 20) == .carryOut(.writeZeroes, .mayDeallocate, flushAfter: false))
    #expect(Self.verdict(4, 0, 1 << 20) == .carryOut(.discard, [], flushAfter: false))
    // 64 MiB of payload are taken and forgotten, more is an attack.
    #expect(Self.verdict(1, 0, 1 << 26) == .refuse(.beyondEnd))
    #expect(Self.verdict(1, 0, 1 << 26 + 512) == .refuseAndEnd(.beyondEnd))
  }

  @Test func dontFragmentIsForStructuredReplies() {
    #expect(Self.verdict(0, flags: 4) == .refuse(.flag))
    #expect(Self.verdict(0, flags: 4, agreement: .structuredReplies) == .carryOut(.read, [], flushAfter: false))
    // "MUST support unfragmented reads of up to 65,536 bytes", and may refuse more with EOVERFLOW.
    #expect(
      Self.verdict(0, 0, 65536, flags: 4, agreement: .structuredReplies) == .carryOut(.read, [], flushAfter: false))
    #expect(Self.verdict(0, 0, 66048, flags: 4, agreement: .structuredReplies) == .refuse(.tooLongToRead))
  }

  /// Never unsupported, as it was never offered ("NBD_CMD_WRITE_ZEROES").
  @Test func fastZeroesAreInvalid() {
    #expect(Self.verdict(6, flags: 16) == .refuse(.flag))
    #expect(Complaint.flag.error == NBD.ErrorCode.invalid)
  }

  @Test func blockStatus() {
    let agreement: Agreement = [.structuredReplies, .allocation]
    #expect(Self.verdict(7) == .refuse(.noContext))
    #expect(Self.verdict(7, agreement: .structuredReplies) == .refuse(.noContext))
    #expect(Self.verdict(7, 512, 1024, agreement: agreement) == .report(AllocationExtent(length: 1024, state: 0)))
    #expect(Self.verdict(7, 0, 512, flags: 8, agreement: agreement) == .report(AllocationExtent(length: 512, state: 0)))
    #expect(Self.verdict(7, 0, 512, flags: 1, agreement: agreement) == .report(AllocationExtent(length: 512, state: 0)))
    #expect(Self.verdict(7, 0, 512, flags: 4, agreement: agreement) == .refuse(.flag))
    #expect(Self.verdict(7, 1 << 20, agreement: agreement) == .refuse(.outside))
    #expect(Self.verdict(7, 1, agreement: agreement) == .refuse(.unaligned))
    #expect(Self.verdict(7, 0, 0, agreement: agreement) == .refuse(.emptyStatus))
  }

  @Test func complaints() {
    let allowed: Set<UInt32> = [0, 1, 5, 22, 28, 75, 108]
    for complaint in Complaint.allCases {
      #expect(allowed.contains(complaint.error))
      #expect((complaint == .none) == (complaint.text.utf8CodeUnitCount == 0))
      #expect(complaint.text.utf8CodeUnitCount <= Complaint.longestText)
    }
    #expect(NBD.chunkHeaderSize + 14 + Complaint.longestText <= Reply.largestHeader)
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
    // ENOTSUP is for fast zeroes alone.
    #expect(status(2, errno: 0) == .done(22))
    #expect(status(1, errno: ENOTSUP) == .done(22))
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
