import Platform

/// What a campaign is to do.
public struct CampaignOptions: Sendable {
  public var seed: UInt64 = 1
  /// Operations at a time.
  public var depth = 16
  /// Operations, at least; more until all attacks are done.
  public var operations: UInt64 = 2000
  /// Bytes from the beginning of the disk.
  public var range = 16 << 20
  /// Bytes that are written whole or not at all; 0: no more than a sector.
  public var atomicSize = 0
  /// The server may lose what was not flushed.
  public var losesPower = false
  /// Errors are an answer like another.
  public var allowsErrors = false
  /// Lost connections are part of the campaign.
  public var allowsDisconnects = false
  /// Nanoseconds that an operation, or a recovery, may take.
  public var deadline: Nanoseconds = 30_000_000_000

  public init() {}
}
