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

  deinit { Glibc.close(number) }

  /// Closes a bare file number; for numbers that came with a message and are not wanted.
  public static func close(_ number: Int32) { _ = Glibc.close(number) }

  /// Gives the file number to the caller, who must close it.
  public consuming func release() -> Int32 {
    let number = self.number
    discard self
    return number
  }
}
