import Glibc
import Testing

@testable import NVMe

@Suite struct StatusTests {
  /// Type and code in one number, and the errno.
  static let expected: [(UInt16, Int32)] = [
    (0x000, 0), (0x001, EOPNOTSUPP), (0x002, EINVAL), (0x004, EIO), (0x006, EIO), (0x00b, EINVAL), (0x013, EINVAL),
    (0x020, EROFS), (0x080, EINVAL), (0x081, ENOSPC), (0x083, EBUSY), (0x182, EROFS), (0x280, EIO), (0x281, EIO),
    (0x282, EILSEQ), (0x283, EILSEQ), (0x284, EILSEQ), (0x286, EACCES), (0x300, EIO),
  ]

  @Test(arguments: expected)
  func errno(status: UInt16, errno: Int32) {
    #expect(CommandStatus(rawValue: status).errno == errno)
  }

  @Test(arguments: [UInt16(0x0ff), 0x1ff, 0x2ff, 0x3ff, 0x4ff, 0x700])
  func unknownStatusIsAnInputOutputError(status: UInt16) {
    #expect(CommandStatus(rawValue: status).errno == EIO)
    #expect(CommandStatus(rawValue: status).name.hasPrefix("status type"))
  }

  @Test func fields() {
    let status = CommandStatus(rawValue: 0x4281)
    #expect(status.code == 0x81 && status.typeCode == 2 && status.doNotRetry && !status.isSuccess)
    #expect(status.description == "Unrecovered Read Error (do not retry)")
    #expect(CommandStatus(type: .media, code: 0x81, doNotRetry: true) == status)
    // More and command-retry-delay bits do not make a success an error.
    #expect(CommandStatus(rawValue: 0x3800).isSuccess && CommandStatus(rawValue: 0x3800).errno == 0)
    var completion = CompletionEntry()
    completion.statusAndPhase = 0x8503
    #expect(completion.status == CommandStatus(rawValue: 0x4281))
  }

  @Test func tableNamesEachStatusOnce() {
    let keys = CommandStatus.table.map { UInt16($0.type.rawValue) << 8 | UInt16($0.code) }
    #expect(Set(keys).count == keys.count)
    #expect(CommandStatus.table.allSatisfy { ($0.errno == 0) == ($0.type == .generic && $0.code == 0) })
  }
}
