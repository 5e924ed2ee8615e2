/// How a device was before it was bound, so that it can be given back, also by the next supervisor after a crash.
public struct BindingRecord: Sendable, Equatable, Codable {
  public var address: PCIAddress
  /// The driver that had the device; `nil` if none had.
  public var formerDriver: String?
  /// What `driver_override` said; `nil` if nothing.
  public var formerOverride: String?

  public init(address: PCIAddress, formerDriver: String?, formerOverride: String?) {
    self.address = address
    self.formerDriver = formerDriver
    self.formerOverride = formerOverride
  }
}
