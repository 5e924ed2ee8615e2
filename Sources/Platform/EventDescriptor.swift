import CBulkhead
import Glibc

/// An eventfd: a counter that wakes whoever polls it. Non-blocking, close-on-exec.
public enum EventDescriptor {
  /// - Throws: ``Failure`` `eventfd` when the process has no room for another file.
  public static func make() throws(Failure) -> Descriptor {
    Descriptor(owning: try checked(bh_eventfd(), "eventfd", "create an eventfd"))
  }

  /// Adds one to the counter. A full counter already wakes its reader, so EAGAIN is success.
  @inline(__always)
  public static func signal(_ number: Int32) {
    var one: UInt64 = 1
    _ = write(number, &one, 8)
  }

  /// Resets the counter and returns what it was; 0 if it was 0.
  @inline(__always)
  @discardableResult
  public static func drain(_ number: Int32) -> UInt64 {
    var count: UInt64 = 0
    return read(number, &count, 8) == 8 ? count : 0
  }
}
