import CBulkhead

/// A submission queue entry (NVMe 1.4 section 4.2), copied out of shared memory once.
struct NVMeCommand {
  static let size = 64
  typealias Words = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
  private var words: Words

  /// `bytes` is private memory: what is checked is what is used.
  @inline(__always)
  init(at bytes: UnsafeRawPointer) { words = bytes.load(as: Words.self) }

  var opcode: UInt8 { UInt8(truncatingIfNeeded: words.0) }
  /// FUSE (9:8) and PSDT (15:14) of dword 0.
  var isFused: Bool { words.0 >> 8 & 3 != 0 }
  var usesSGL: Bool { words.0 >> 14 & 3 != 0 }
  var identifier: UInt16 { UInt16(truncatingIfNeeded: words.0 >> 16) }
  var namespace: UInt32 { UInt32(words.0 >> 32) }
  var prp1: UInt64 { words.3 }
  var prp2: UInt64 { words.4 }
  var dword10: UInt32 { UInt32(truncatingIfNeeded: words.5) }
  var dword11: UInt32 { UInt32(words.5 >> 32) }
  var dword12: UInt32 { UInt32(truncatingIfNeeded: words.6) }
  var dword13: UInt32 { UInt32(words.6 >> 32) }
  var dword14: UInt32 { UInt32(truncatingIfNeeded: words.7) }
  /// Dwords 10 and 11 of the commands that work on blocks.
  var firstBlock: UInt64 { words.5 }
  /// Dword 12 bits 15:0, 0's based.
  var blockCount: UInt64 { (words.6 & 0xFFFF) + 1 }
  /// Dword 12 bit 30.
  var forcesUnitAccess: Bool { words.6 >> 30 & 1 != 0 }
  /// Dword 12 bit 25 of Write Zeroes (section 6.17).
  var deallocates: Bool { words.6 >> 25 & 1 != 0 }
}

/// Opcodes (NVMe 1.4 figures 139 and 346).
enum AdminOpcode {
  static let deleteSubmissionQueue: UInt8 = 0x00
  static let createSubmissionQueue: UInt8 = 0x01
  static let getLogPage: UInt8 = 0x02
  static let deleteCompletionQueue: UInt8 = 0x04
  static let createCompletionQueue: UInt8 = 0x05
  static let identify: UInt8 = 0x06
  static let abort: UInt8 = 0x08
  static let setFeatures: UInt8 = 0x09
  static let getFeatures: UInt8 = 0x0A
  static let asynchronousEventRequest: UInt8 = 0x0C
}

enum IOOpcode {
  static let flush: UInt8 = 0x00
  static let write: UInt8 = 0x01
  static let read: UInt8 = 0x02
  static let writeZeroes: UInt8 = 0x08
  static let datasetManagement: UInt8 = 0x09
}

/// Status code in bits 7:0, status code type in 10:8 (NVMe 1.4 section 4.6.1).
struct NVMeStatus: Equatable {
  var rawValue: UInt16
  init(_ rawValue: UInt16) { self.rawValue = rawValue }

  static let success = NVMeStatus(0x00)
  static let invalidOpcode = NVMeStatus(0x01)
  static let invalidField = NVMeStatus(0x02)
  static let dataTransferError = NVMeStatus(0x04)
  static let internalError = NVMeStatus(0x06)
  static let abortRequested = NVMeStatus(0x07)
  static let abortedQueueDeletion = NVMeStatus(0x08)
  static let invalidNamespace = NVMeStatus(0x0B)
  static let sequenceError = NVMeStatus(0x0C)
  static let invalidPRPOffset = NVMeStatus(0x13)
  static let writeProtected = NVMeStatus(0x20)
  static let lbaOutOfRange = NVMeStatus(0x80)
  static let completionQueueInvalid = NVMeStatus(0x100)
  static let invalidQueueIdentifier = NVMeStatus(0x101)
  static let invalidQueueSize = NVMeStatus(0x102)
  static let eventRequestLimit = NVMeStatus(0x105)
  static let invalidInterruptVector = NVMeStatus(0x108)
  static let invalidLogPage = NVMeStatus(0x109)
  static let invalidQueueDeletion = NVMeStatus(0x10C)
  static let notSaveable = NVMeStatus(0x10D)
  static let writeFault = NVMeStatus(0x280)
  static let unrecoveredRead = NVMeStatus(0x281)
}

/// What a command comes to: a status and dword 0 of the completion.
struct CommandResult {
  var status: NVMeStatus
  var value: UInt32 = 0
  /// No completion now: it is held.
  var isHeld = false

  static let success = CommandResult(status: .success)
  static let held = CommandResult(status: .success, isHeld: true)
  static func failed(_ status: NVMeStatus) -> CommandResult { CommandResult(status: status) }
}

/// Submission queue state (section 4.1).
struct SubmissionQueue {
  var exists = false
  var address: UInt64 = 0
  var entries: UInt32 = 0
  var head: UInt32 = 0
  var completionQueue: UInt16 = 0
  /// The doorbell value that was already reported as invalid.
  var reportedTail: UInt32 = .max
}

/// Completion queue state.
struct CompletionQueue {
  static let entrySize = 16
  var exists = false
  var address: UInt64 = 0
  var entries: UInt32 = 0
  var tail: UInt32 = 0
  var head: UInt32 = 0
  var phase: UInt32 = 1
  var vector = 0
  var interruptsEnabled = false
  /// Something was posted since the last interrupt.
  var isPending = false
  /// Submission queues that complete here.
  var users = 0

  var isFull: Bool { (tail + 1) % entries == head }
}

extension NVMeStatus {
  /// The status field of a completion: Do Not Retry (bit 14) for what would fail again the same way.
  var field: UInt16 {
    switch self {
    case .success, .dataTransferError, .internalError, .abortRequested, .abortedQueueDeletion: rawValue
    default: rawValue >= 0x200 || rawValue & 0x6000 != 0 ? rawValue : rawValue | 0x4000
    }
  }
}
