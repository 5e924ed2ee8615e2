import Glibc
import Platform

/// What a campaign asks of a disk.
public struct Operation: Sendable, Equatable {
  public enum Kind: UInt8, Sendable, CaseIterable { case read, write, flush, writeZeroes, trim }

  public var kind: Kind
  /// Sectors from the beginning of the disk.
  public var first: Int
  /// Sectors; 0 for a flush.
  public var count: Int
  public var forceUnitAccess: Bool

  public init(_ kind: Kind, first: Int = 0, count: Int = 0, forceUnitAccess: Bool = false) {
    self.kind = kind
    self.first = first
    self.count = count
    self.forceUnitAccess = forceUnitAccess
  }
}

/// How an operation ended.
public enum Outcome: Sendable, Equatable {
  case done
  /// The disk said no. An NBD error value, or an errno.
  case failed(UInt32)
  /// The connection was lost.
  case unknown
}

/// A disk that takes operations without waiting.
public protocol Target: AnyObject {
  /// Bytes.
  var size: Int { get }
  /// Bytes that operations must be aligned to, at least 512.
  var blockSize: Int { get }
  var kinds: Set<Operation.Kind> { get }

  /// Whether an operation can be taken now.
  var isReady: Bool { get }
  /// - Parameter slot: the caller's name for it until it ends; selects the connection.
  func submit(_ operation: Operation, memory: UnsafeMutableRawPointer, slot: Int)
  /// What is to be polled.
  func addFiles(to list: inout [pollfd])
  /// Ends what has ended.
  func collect(_ handler: (_ slot: Int, _ outcome: Outcome) -> Void)
  /// Connections that were lost so far.
  var disconnects: Int { get }
}
