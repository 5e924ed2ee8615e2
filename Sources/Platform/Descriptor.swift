import CBulkhead
import Glibc

/// An open file that is closed when its owner goes away.
public struct Descriptor: ~Copyable, Sendable {
  /// The file number; valid as long as this value lives.
  public let number: Int32

  /// Takes ownership of `number`.
  public init(owning number: Int32) {
    precondition(number >= 0, "not an open file")
    self.number = number
  }

  deinit { Self.close(number) }

  /// Whether a line can be written now without waiting. Not to a reader that is gone, either: that shows as POLLERR, and
  /// writing would end this process with SIGPIPE.
  public static func hasRoom(_ number: Int32) -> Bool {
    var state = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
    return bh_ppoll(&state, 1, 0) == 1 && state.revents == Int16(POLLOUT)
  }

  /// Closes a bare file number that the caller owns. Debug builds end where it is not open: closed twice, it would be
  /// somebody else's file the next time.
  public static func close(_ number: Int32) {
    let result = Glibc.close(number)
    assert(result == 0 || errno != EBADF, "file \(number) is not open")
  }

  /// Gives the file number to the caller, who must close it.
  public consuming func release() -> Int32 {
    let number = self.number
    discard self
    return number
  }
}
