import Glibc

/// The status field of a completion, without the phase tag: NVMe 2.0 section 3.3.3.2.1.
public struct CommandStatus: Equatable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue & 0x7fff }

  public init(type: Kind, code: UInt8, doNotRetry: Bool = false) {
    rawValue = UInt16(code) | UInt16(type.rawValue) << 8 | (doNotRetry ? 1 << 14 : 0)
  }

  /// SCT, status code type: figure 93.
  public enum Kind: UInt8, Sendable {
    case generic = 0
    case commandSpecific = 1
    case media = 2
    case path = 3
    case vendor = 7
  }

  public static let success = CommandStatus(rawValue: 0)

  public var isSuccess: Bool { rawValue & 0x7ff == 0 }
  /// SC, bits 7:0.
  public var code: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
  /// SCT, bits 10:8.
  public var typeCode: UInt8 { UInt8(rawValue >> 8 & 7) }
  /// DNR, bit 14: the same command would fail again.
  public var doNotRetry: Bool { rawValue >> 14 & 1 == 1 }
  /// The answer to a command that Abort ended, or that went with its queue.
  public var isAborted: Bool { typeCode == 0 && (code == 0x07 || code == 0x08) }

  private var entry: Entry? { Self.table.first { $0.type.rawValue == typeCode && $0.code == code } }

  /// The specification's name, or the numbers.
  public var name: String {
    entry?.name ?? "status type \(typeCode) code 0x\(String(code, radix: 16))"
  }

  /// What a user of the block device sees; 0 for success, EIO for what has no better number.
  public var errno: Int32 { isSuccess ? 0 : entry?.errno ?? EIO }

  public var description: String { doNotRetry ? "\(name) (do not retry)" : name }

  struct Entry: Sendable {
    let type: Kind
    let code: UInt8
    let name: String
    let errno: Int32

    init(_ type: Kind, _ code: UInt8, _ name: String, _ errno: Int32) {
      self.type = type
      self.code = code
      self.name = name
      self.errno = errno
    }
  }

  /// NVMe 2.0 figures 94 (generic), 95 (command specific), 97 (media and data integrity), 98 (path related).
  static let table: [Entry] = [
    Entry(.generic, 0x00, "Successful Completion", 0),
    Entry(.generic, 0x01, "Invalid Command Opcode", EOPNOTSUPP),
    Entry(.generic, 0x02, "Invalid Field in Command", EINVAL),
    Entry(.generic, 0x03, "Command ID Conflict", EIO),
    Entry(.generic, 0x04, "Data Transfer Error", EIO),
    Entry(.generic, 0x05, "Commands Aborted due to Power Loss Notification", EIO),
    Entry(.generic, 0x06, "Internal Error", EIO),
    Entry(.generic, 0x07, "Command Abort Requested", ETIMEDOUT),
    Entry(.generic, 0x08, "Command Aborted due to SQ Deletion", EIO),
    Entry(.generic, 0x09, "Command Aborted due to Failed Fused Command", EIO),
    Entry(.generic, 0x0a, "Command Aborted due to Missing Fused Command", EIO),
    Entry(.generic, 0x0b, "Invalid Namespace or Format", EINVAL),
    Entry(.generic, 0x0c, "Command Sequence Error", EIO),
    Entry(.generic, 0x0d, "Invalid SGL Segment Descriptor", EINVAL),
    Entry(.generic, 0x0e, "Invalid Number of SGL Descriptors", EINVAL),
    Entry(.generic, 0x0f, "Data SGL Length Invalid", EINVAL),
    Entry(.generic, 0x10, "Metadata SGL Length Invalid", EINVAL),
    Entry(.generic, 0x11, "SGL Descriptor Type Invalid", EINVAL),
    Entry(.generic, 0x12, "Invalid Use of Controller Memory Buffer", EINVAL),
    Entry(.generic, 0x13, "PRP Offset Invalid", EINVAL),
    Entry(.generic, 0x14, "Atomic Write Unit Exceeded", EINVAL),
    Entry(.generic, 0x15, "Operation Denied", EPERM),
    Entry(.generic, 0x1c, "Sanitize Failed", EIO),
    Entry(.generic, 0x1d, "Sanitize In Progress", EBUSY),
    Entry(.generic, 0x20, "Namespace is Write Protected", EROFS),
    Entry(.generic, 0x21, "Command Interrupted", EIO),
    Entry(.generic, 0x22, "Transient Transport Error", EIO),
    Entry(.generic, 0x80, "LBA Out of Range", EINVAL),
    Entry(.generic, 0x81, "Capacity Exceeded", ENOSPC),
    Entry(.generic, 0x82, "Namespace Not Ready", EIO),
    Entry(.generic, 0x83, "Reservation Conflict", EBUSY),
    Entry(.generic, 0x84, "Format In Progress", EBUSY),
    Entry(.commandSpecific, 0x00, "Completion Queue Invalid", EINVAL),
    Entry(.commandSpecific, 0x01, "Invalid Queue Identifier", EINVAL),
    Entry(.commandSpecific, 0x02, "Invalid Queue Size", EINVAL),
    Entry(.commandSpecific, 0x03, "Abort Command Limit Exceeded", EBUSY),
    Entry(.commandSpecific, 0x08, "Invalid Interrupt Vector", EINVAL),
    Entry(.commandSpecific, 0x0c, "Invalid Queue Deletion", EINVAL),
    Entry(.commandSpecific, 0x0d, "Feature Identifier Not Saveable", EINVAL),
    Entry(.commandSpecific, 0x0e, "Feature Not Changeable", EINVAL),
    Entry(.commandSpecific, 0x80, "Conflicting Attributes", EINVAL),
    Entry(.commandSpecific, 0x81, "Invalid Protection Information", EILSEQ),
    Entry(.commandSpecific, 0x82, "Attempted Write to Read Only Range", EROFS),
    Entry(.commandSpecific, 0x83, "Command Size Limit Exceeded", EINVAL),
    Entry(.media, 0x80, "Write Fault", EIO),
    Entry(.media, 0x81, "Unrecovered Read Error", EIO),
    Entry(.media, 0x82, "End-to-end Guard Check Error", EILSEQ),
    Entry(.media, 0x83, "End-to-end Application Tag Check Error", EILSEQ),
    Entry(.media, 0x84, "End-to-end Reference Tag Check Error", EILSEQ),
    Entry(.media, 0x85, "Compare Failure", EILSEQ),
    Entry(.media, 0x86, "Access Denied", EACCES),
    Entry(.media, 0x87, "Deallocated or Unwritten Logical Block", EIO),
    Entry(.path, 0x00, "Internal Path Error", EIO),
    Entry(.path, 0x01, "Asymmetric Access Persistent Loss", EIO),
    Entry(.path, 0x02, "Asymmetric Access Inaccessible", EIO),
    Entry(.path, 0x03, "Asymmetric Access Transition", EIO),
    Entry(.path, 0x60, "Controller Pathing Error", EIO),
    Entry(.path, 0x70, "Host Pathing Error", EIO),
    Entry(.path, 0x71, "Command Aborted By Host", EIO),
  ]
}
