/// A read that no order of events explains.
public struct Violation: Sendable, Equatable {
  public enum Kind: String, Sendable {
    /// An older write than one that counts, or zeroes that nobody wrote.
    case stale
    /// One sector has parts of several writes.
    case tornSector = "torn-sector"
    /// A write within the atomic unit is there in part.
    case tornWrite = "torn-write"
    /// The contents belong to another sector.
    case misplaced
    /// Bytes that were never written.
    case foreign
  }

  public var kind: Kind
  public var sector: Int
  public var found: String
  /// What would have been right: any of these.
  public var expected: [String]
}
