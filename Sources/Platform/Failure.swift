import CBulkhead
import Glibc

/// What went wrong, where, and what to do about it.
///
/// `code` is stable and may be matched by scripts; `errno` is kept as a number so that nothing is lost on the way up.
public struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
  /// A stable kebab-case name, such as `vfio-group-not-viable`.
  public var code: String
  /// What was being done, and to what.
  public var step: String
  /// The kernel's error number, 0 if the kernel was not the one to refuse.
  public var errno: Int32
  /// What the administrator can do; empty if there is nothing to say.
  public var hint: String

  public init(_ code: String, _ step: String, errno: Int32 = 0, hint: String = "") {
    self.code = code
    self.step = step
    self.errno = errno
    self.hint = hint
  }

  /// `code: step: EPERM (Operation not permitted)`, followed by the hint on a line of its own.
  public var description: String {
    var text = "\(code): \(step)"
    if errno != 0 { text += ": \(Failure.name(of: errno)) (\(String(cString: strerror(errno))))" }
    if !hint.isEmpty { text += "\nHint: \(hint)" }
    return text
  }

  /// The symbolic name of an error number, such as `EPERM`.
  public static func name(of errno: Int32) -> String {
    guard let name = bh_strerror_name(errno) else { return "errno \(errno)" }
    return String(cString: name)
  }
}

/// Turns the `-errno` convention of the C shims into a thrown ``Failure``.
///
/// The step is only formatted when the call failed.
@inline(__always)
@discardableResult
public func checked<Value: BinaryInteger>(
  _ value: Value, _ code: @autoclosure () -> String, _ step: @autoclosure () -> String,
  hint: @autoclosure () -> String = ""
) throws(Failure) -> Value {
  guard value < 0 else { return value }
  throw Failure(code(), step(), errno: Int32(0 - Int64(value)), hint: hint())
}
