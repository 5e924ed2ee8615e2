/// A submission queue entry, 64 bytes: NVMe 2.0 section 3.3.3.1 (Common Command Format). The offsets of the fields are
/// those of the declaration, which a table test holds against the specification.
public struct SubmissionEntry: Equatable, Sendable {
  /// OPC, command dword 0 bits 7:0.
  public var opcode: UInt8 = 0
  /// FUSE bits 1:0 and PSDT bits 7:6 of this byte; 0 is a lone command with PRPs.
  public var flags: UInt8 = 0
  /// CID.
  public var commandID: UInt16 = 0
  /// NSID.
  public var namespace: UInt32 = 0
  public var dword2: UInt32 = 0
  public var dword3: UInt32 = 0
  /// MPTR.
  public var metadata: UInt64 = 0
  public var prp1: UInt64 = 0
  public var prp2: UInt64 = 0
  public var dword10: UInt32 = 0
  public var dword11: UInt32 = 0
  public var dword12: UInt32 = 0
  public var dword13: UInt32 = 0
  public var dword14: UInt32 = 0
  public var dword15: UInt32 = 0

  public init() {}
}

/// A completion queue entry, 16 bytes: NVMe 2.0 section 3.3.3.2.
public struct CompletionEntry: Equatable, Sendable {
  /// Command specific.
  public var result: UInt32 = 0
  public var dword1: UInt32 = 0
  /// SQHD.
  public var submissionHead: UInt16 = 0
  /// SQID.
  public var submissionQueue: UInt16 = 0
  /// CID.
  public var commandID: UInt16 = 0
  /// Phase tag in bit 0, status field in bits 15:1.
  public var statusAndPhase: UInt16 = 0

  public init() {}

  public var status: CommandStatus { CommandStatus(rawValue: statusAndPhase >> 1) }

  /// Where the word with the phase tag is, in bytes.
  static let phaseOffset = 14
}

/// Opcodes of the admin command set, NVMe 2.0 figure 138.
public enum AdminOpcode: UInt8, Sendable {
  case deleteSubmissionQueue = 0x00
  case createSubmissionQueue = 0x01
  case deleteCompletionQueue = 0x04
  case createCompletionQueue = 0x05
  case identify = 0x06
  case abort = 0x08
  case setFeatures = 0x09
}

/// Opcodes of the NVM command set, NVM Command Set 1.0 figure 22.
public enum NVMOpcode: UInt8, Sendable {
  case flush = 0x00
  case write = 0x01
  case read = 0x02
  case writeZeroes = 0x08
  case datasetManagement = 0x09
}

extension SubmissionEntry {
  /// CNS values of Identify, NVMe 2.0 figure 273.
  public enum IdentifyTarget: UInt32, Sendable {
    case namespace = 0x00
    case controller = 0x01
    case activeNamespaces = 0x02
  }

  /// Identify, NVMe 2.0 section 5.17: 4096 bytes to the page at `address`.
  public static func identify(
    _ target: IdentifyTarget, namespace: UInt32 = 0, to address: UInt64
  ) -> SubmissionEntry {
    var entry = SubmissionEntry()
    entry.opcode = AdminOpcode.identify.rawValue
    entry.namespace = namespace
    entry.prp1 = address
    entry.dword10 = target.rawValue
    return entry
  }

  /// Set Features, Number of Queues (07h), NVMe 2.0 section 5.27.1.5: so many of each kind; both numbers are zero-based.
  public static func setQueueCount(_ count: Int) -> SubmissionEntry {
    var entry = SubmissionEntry()
    entry.opcode = AdminOpcode.setFeatures.rawValue
    entry.dword10 = 0x07
    entry.dword11 = UInt32(count - 1) << 16 | UInt32(count - 1)
    return entry
  }

  /// Create I/O Completion Queue, NVMe 2.0 section 5.4: contiguous, with interrupts.
  public static func createCompletionQueue(
    _ queue: UInt16, entries: Int, vector: UInt16, at address: UInt64
  ) -> SubmissionEntry {
    var entry = SubmissionEntry()
    entry.opcode = AdminOpcode.createCompletionQueue.rawValue
    entry.prp1 = address
    entry.dword10 = UInt32(entries - 1) << 16 | UInt32(queue)
    entry.dword11 = UInt32(vector) << 16 | 1 << 1 | 1
    return entry
  }

  /// Create I/O Submission Queue, NVMe 2.0 section 5.5: contiguous, completing to the queue of the same number.
  public static func createSubmissionQueue(_ queue: UInt16, entries: Int, at address: UInt64) -> SubmissionEntry {
    var entry = SubmissionEntry()
    entry.opcode = AdminOpcode.createSubmissionQueue.rawValue
    entry.prp1 = address
    entry.dword10 = UInt32(entries - 1) << 16 | UInt32(queue)
    entry.dword11 = UInt32(queue) << 16 | 1
    return entry
  }

  /// Delete I/O Submission Queue or Completion Queue, NVMe 2.0 sections 5.6 and 5.7.
  public static func deleteQueue(_ opcode: AdminOpcode, _ queue: UInt16) -> SubmissionEntry {
    var entry = SubmissionEntry()
    entry.opcode = opcode.rawValue
    entry.dword10 = UInt32(queue)
    return entry
  }

  /// Abort, NVMe 2.0 section 5.1.
  public static func abort(_ commandID: UInt16, on queue: UInt16) -> SubmissionEntry {
    var entry = SubmissionEntry()
    entry.opcode = AdminOpcode.abort.rawValue
    entry.dword10 = UInt32(commandID) << 16 | UInt32(queue)
    return entry
  }

  /// Read or Write, NVM Command Set 1.0 sections 3.2.4 and 3.2.6; the PRPs are filled in by the caller.
  /// - Parameter blocks: 1 to 65536.
  @inline(__always)
  public static func transfer(
    _ opcode: NVMOpcode, namespace: UInt32, block: UInt64, blocks: UInt32, forceUnitAccess: Bool
  ) -> SubmissionEntry {
    var entry = range(opcode, namespace, block, blocks)
    if forceUnitAccess { entry.dword12 |= Self.forceUnitAccess }
    return entry
  }

  /// Write Zeroes, NVM Command Set 1.0 section 3.2.8.
  /// - Parameter blocks: 1 to 65536.
  public static func writeZeroes(
    namespace: UInt32, block: UInt64, blocks: UInt32, forceUnitAccess: Bool, deallocate: Bool
  ) -> SubmissionEntry {
    var entry = range(.writeZeroes, namespace, block, blocks)
    if forceUnitAccess { entry.dword12 |= Self.forceUnitAccess }
    if deallocate { entry.dword12 |= Self.deallocate }
    return entry
  }

  /// Flush, NVM Command Set 1.0 section 7.1.
  public static func flush(namespace: UInt32) -> SubmissionEntry {
    var entry = SubmissionEntry()
    entry.opcode = NVMOpcode.flush.rawValue
    entry.namespace = namespace
    return entry
  }

  /// Dataset Management with the Deallocate attribute and one range, NVM Command Set 1.0 section 3.2.3; the range is at
  /// `address`.
  public static func deallocate(namespace: UInt32, rangeAt address: UInt64) -> SubmissionEntry {
    var entry = SubmissionEntry()
    entry.opcode = NVMOpcode.datasetManagement.rawValue
    entry.namespace = namespace
    entry.prp1 = address
    entry.dword10 = 0
    entry.dword11 = 1 << 2
    return entry
  }

  /// FUA, bit 30 of dword 12.
  static let forceUnitAccess: UInt32 = 1 << 30
  /// DEAC of Write Zeroes, bit 25 of dword 12.
  static let deallocate: UInt32 = 1 << 25

  /// SLBA in dwords 10 and 11, NLB zero-based in dword 12 bits 15:0.
  @inline(__always)
  private static func range(
    _ opcode: NVMOpcode, _ namespace: UInt32, _ block: UInt64, _ blocks: UInt32
  ) -> SubmissionEntry {
    precondition(blocks >= 1 && blocks <= 65536, "the number of blocks has 16 bits")
    var entry = SubmissionEntry()
    entry.opcode = opcode.rawValue
    entry.namespace = namespace
    entry.dword10 = UInt32(truncatingIfNeeded: block)
    entry.dword11 = UInt32(truncatingIfNeeded: block >> 32)
    entry.dword12 = blocks - 1
    return entry
  }
}

/// One range of Dataset Management, 16 bytes: NVM Command Set 1.0 figure 39.
public struct DatasetRange: Equatable, Sendable {
  public var attributes: UInt32 = 0
  /// Logical blocks; not zero-based.
  public var blocks: UInt32
  public var firstBlock: UInt64

  public init(firstBlock: UInt64, blocks: UInt32) {
    self.firstBlock = firstBlock
    self.blocks = blocks
  }
}
