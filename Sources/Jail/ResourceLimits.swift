import CBulkhead
import Glibc
import Platform

/// Upper bounds that the kernel holds a process to (getrlimit(2)); soft and hard limit alike. `nil` leaves one as it is.
public struct ResourceLimits: Sendable, Equatable {
  /// Highest number of a file that can be opened, plus one.
  public var files: UInt64?
  /// Bytes of locked memory.
  public var lockedMemory: UInt64?
  /// Bytes of address space: heap, stack, arenas and BARs together.
  public var addressSpace: UInt64?
  /// Bytes to which a file may grow.
  public var fileSize: UInt64?
  /// Processes of the user, this one included.
  public var processes: UInt64?
  /// Bytes of stack.
  public var stack: UInt64?

  public init() {}

  /// A driver's: no room for a new file beyond its manifest, no file growth, no second process.
  public static func driver(lockedMemory: UInt64 = 0, addressSpace: UInt64? = nil) -> ResourceLimits {
    var limits = ResourceLimits()
    limits.files = 128
    limits.lockedMemory = lockedMemory
    limits.addressSpace = addressSpace
    limits.fileSize = 0
    limits.processes = 1
    limits.stack = 8 << 20
    return limits
  }

  /// - Parameter canRaise: false: a hard limit that is lower already stays as it is.
  /// - Throws: ``Failure`` `jail-limits`. Raising a hard limit needs CAP_SYS_RESOURCE.
  public func apply(canRaise: Bool = true) throws(Failure) {
    // Not 0: with 1 a core is not written to a file, and not piped to a collector either, which ignores other limits.
    // A hostile driver in a crash loop could fill the disk with them.
    try Self.set(Self.core, to: 1, "core size", canRaise)
    try Self.set(Self.realtimePriority, to: 0, "real-time priority", canRaise)
    try Self.set(Self.messageQueues, to: 0, "message queues", canRaise)
    if let files { try Self.set(Self.openFiles, to: files, "open files", canRaise) }
    if let lockedMemory { try Self.set(Self.memlock, to: lockedMemory, "locked memory", canRaise) }
    if let addressSpace { try Self.set(Self.space, to: addressSpace, "address space", canRaise) }
    if let fileSize { try Self.set(Self.size, to: fileSize, "file size", canRaise) }
    if let processes { try Self.set(Self.processCount, to: processes, "processes", canRaise) }
    if let stack { try Self.set(Self.stackSize, to: stack, "stack", canRaise) }
  }

  // RLIMIT_*, <bits/resource.h>: an enumeration there that Swift sees differently from one glibc to the next.
  private static let size: Int32 = 1
  private static let stackSize: Int32 = 3
  private static let core: Int32 = 4
  private static let processCount: Int32 = 6
  private static let openFiles: Int32 = 7
  private static let memlock: Int32 = 8
  private static let space: Int32 = 9
  private static let messageQueues: Int32 = 12
  private static let realtimePriority: Int32 = 14

  private static func set(_ resource: Int32, to value: UInt64, _ name: String, _ canRaise: Bool) throws(Failure) {
    let value = canRaise ? value : min(value, bh_hard_limit(resource))
    try checked(bh_set_limit(resource, value), ConfinementStep.limits.code, "limit \(name) to \(value)")
  }
}
