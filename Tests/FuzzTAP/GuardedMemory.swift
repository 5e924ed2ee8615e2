import Glibc
import Platform

/// Zeroed memory with nothing around it: an access outside of it ends the process, however far away it is.
///
/// A descriptor's length has 32 bits, so that there are 4 GiB behind the memory that may not be touched, and as many before.
final class GuardedMemory {
  private static let guardSize = 4 << 30

  let base: UnsafeMutableRawPointer
  /// Bytes; whole pages.
  let count: Int
  private let reservation: UnsafeMutableRawPointer

  init(count: Int) throws(Failure) {
    let count = roundedToPages(count)
    let whole = count + 2 * Self.guardSize
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let reservation = mmap(nil, whole, PROT_NONE, flags, -1, 0), reservation != MAP_FAILED else {
      throw Failure("mmap", "reserve \(whole) bytes", errno: errno)
    }
    base = reservation + Self.guardSize
    guard mprotect(base, count, PROT_READ | PROT_WRITE) == 0 else {
      throw Failure("mmap", "open \(count) bytes", errno: errno)
    }
    self.count = count
    self.reservation = reservation
  }

  deinit { munmap(reservation, count + 2 * Self.guardSize) }

  /// Whether `length` bytes at `start` are all in it.
  @inline(__always)
  func holds(_ start: UnsafeMutableRawPointer, _ length: Int) -> Bool {
    let offset = start - base
    return offset >= 0 && offset <= count && length >= 0 && length <= count - offset
  }
}
