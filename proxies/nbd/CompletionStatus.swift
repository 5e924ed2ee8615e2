import Glibc
import Protocol

/// What the driver wrote into a slot's status area, read once and judged.
enum CompletionStatus: Equatable {
  /// An NBD error, or 0.
  case done(UInt32)
  /// The tag is not the one of the request that the slot holds.
  case stale
  /// No request can end like this.
  case invalid

  /// - Parameters:
  ///   - word: the status area as one little-endian number: status u8, zero u8, errno u16, tag u32.
  ///   - tag: of the request that the slot holds.
  init(_ word: UInt64, tag: UInt32) {
    guard UInt32(truncatingIfNeeded: word >> 32) == tag else {
      self = .stale
      return
    }
    let errno = Int32(UInt16(truncatingIfNeeded: word >> 16))
    guard UInt8(truncatingIfNeeded: word >> 8) == 0,
      let status = BlockClass.Status(rawValue: UInt8(truncatingIfNeeded: word))
    else {
      self = .invalid
      return
    }
    switch status {
    case .ok: self = errno == 0 ? .done(NBD.ErrorCode.none) : .invalid
    // The book keeps ENOTSUP for fast zeroes ("Error values").
    case .unsupported: self = .done(NBD.ErrorCode.invalid)
    case .ioError: self = Self.nbdError(errno).map(CompletionStatus.done) ?? .invalid
    }
  }

  /// The errnos that a device's failure can become, and what the client is told. nil: not one of them.
  static func nbdError(_ errno: Int32) -> UInt32? {
    guard errno == 0 || BlockClass.isCause(errno) else { return nil }
    return switch errno {
    case EPERM, EACCES, EROFS: NBD.ErrorCode.notPermitted
    case ENOSPC: NBD.ErrorCode.noSpace
    case EINVAL, ENOTSUP: NBD.ErrorCode.invalid
    // Medium, path, target, protection information and time-out errors: NBD has one word for all of them.
    default: NBD.ErrorCode.ioError
    }
  }
}
