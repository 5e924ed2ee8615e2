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
