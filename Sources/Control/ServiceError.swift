/// An error of `io.bulkhead`: a name for programs, a message and a hint for people.
public struct ServiceError: Error, Sendable, Equatable {
  public enum Name: String, CaseIterable, Sendable {
    case noSuchDevice = "NoSuchDevice"
    case notConfigured = "NotConfigured"
    case refused = "Refused"
    case invalidState = "InvalidState"
    case inUse = "InUse"
    case failed = "Failed"
    case permissionDenied = "PermissionDenied"
    case alreadyAttached = "AlreadyAttached"
    case noSuchDriver = "NoSuchDriver"
    case invalidName = "InvalidName"
    case invalidConfiguration = "InvalidConfiguration"

    public var qualifiedName: String { "\(Service.interface).\(rawValue)" }
  }

  public var name: Name
  public var device: String
  public var message: String
  public var hint: String
  /// Of ``Name/refused`` only.
  public var reasons: [Reason]
  /// Of ``Name/invalidConfiguration`` only.
  public var issues: [Issue]

  public init(
    _ name: Name, device: String, message: String, hint: String = "", reasons: [Reason] = [], issues: [Issue] = []
  ) {
    self.name = name
    self.device = device
    self.message = message
    self.hint = hint
    self.reasons = reasons
    self.issues = issues
  }

  /// The parameters on the wire.
  public struct Parameters: Codable, Sendable {
    public var device: String
    public var message: String
    public var hint: String
    public var reasons: [Reason]?
    public var issues: [Issue]?
  }

  public var parameters: Parameters {
    Parameters(
      device: device, message: message, hint: hint, reasons: name == .refused ? reasons : nil,
      issues: name == .invalidConfiguration ? issues : nil)
  }

  public init(_ name: Name, _ parameters: Parameters) {
    self.init(
      name, device: parameters.device, message: parameters.message, hint: parameters.hint,
      reasons: parameters.reasons ?? [], issues: parameters.issues ?? [])
  }
}

/// One reason not to take a device.
public struct Reason: Codable, Sendable, Equatable {
  /// Stable, such as `disk-mounted`.
  public var code: String
  public var message: String
  public var hint: String
  /// Whether `force` in the device's configuration overrides it.
  public var overridable: Bool

  public init(code: String, message: String, hint: String, overridable: Bool) {
    self.code = code
    self.message = message
    self.hint = hint
    self.overridable = overridable
  }
}
