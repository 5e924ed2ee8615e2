/// The calls of `io.bulkhead`: method names, parameters and results.
public enum Service {
  public static let interface = "io.bulkhead"

  public enum Method: String, CaseIterable, Sendable {
    case list = "List"
    case status = "Status"
    case start = "Start"
    case stop = "Stop"
    case restart = "Restart"
    case check = "Check"
    case monitor = "Monitor"
    case attach = "Attach"
    case detach = "Detach"
    case resetFailed = "ResetFailed"
    case drivers = "ListDrivers"
    case showConfiguration = "ShowConfiguration"
    case checkConfiguration = "CheckConfiguration"

    public var qualifiedName: String { "\(Service.interface).\(rawValue)" }

    /// Whether it changes anything, and so is for root and the daemon's user.
    public var changes: Bool {
      switch self {
      case .start, .stop, .restart, .attach, .detach, .resetFailed: true
      case .list, .status, .check, .monitor, .drivers, .showConfiguration, .checkConfiguration: false
      }
    }

    /// The names of its parameters; no others belong into a call.
    public var parameters: [String] {
      switch self {
      case .list: ["all"]
      case .status, .check, .start, .restart, .resetFailed, .showConfiguration: ["device"]
      case .stop: ["device", "force"]
      case .attach: ["device", "driver", "name", "permanent"]
      case .detach: ["device", "force", "permanent"]
      case .monitor, .drivers, .checkConfiguration: []
      }
    }
  }

  public struct ListParameters: Codable, Sendable {
    public var all: Bool?
    public init(all: Bool? = nil) { self.all = all }
  }

  /// Of Status and Check, where the device may be left out, and of Start and Restart.
  public struct DeviceParameters: Codable, Sendable {
    public var device: String?
    public init(device: String? = nil) { self.device = device }
  }

  public struct StopParameters: Codable, Sendable {
    public var device: String?
    public var force: Bool?
    public init(device: String, force: Bool? = nil) {
      self.device = device
      self.force = force
    }
  }

  public struct AttachParameters: Codable, Sendable {
    public var device: String?
    /// The name of a driver, `none` or `auto`; nil: as the configuration has it, else `auto`.
    public var driver: String?
    public var name: String?
    public var permanent: Bool?
    public init(device: String, driver: String? = nil, name: String? = nil, permanent: Bool? = nil) {
      self.device = device
      self.driver = driver
      self.name = name
      self.permanent = permanent
    }
  }

  public struct DetachParameters: Codable, Sendable {
    public var device: String?
    public var force: Bool?
    public var permanent: Bool?
    public init(device: String, force: Bool? = nil, permanent: Bool? = nil) {
      self.device = device
      self.force = force
      self.permanent = permanent
    }
  }

  public struct NoParameters: Codable, Sendable {
    public init() {}
  }

  public struct DevicesReply: Codable, Sendable {
    public var devices: [Device]
    public init(devices: [Device]) { self.devices = devices }
  }

  public struct DeviceReply: Codable, Sendable {
    public var device: Device
    public init(device: Device) { self.device = device }
  }

  public struct ChecksReply: Codable, Sendable {
    public var checks: [IsolationCheck]
    public init(checks: [IsolationCheck]) { self.checks = checks }
  }

  public struct DriversReply: Codable, Sendable {
    public var drivers: [DriverDetail]
    public init(drivers: [DriverDetail]) { self.drivers = drivers }
  }

  public struct ConfigurationReply: Codable, Sendable {
    public var devices: [ConfiguredDevice]
    public init(devices: [ConfiguredDevice]) { self.devices = devices }
  }

  public struct IssuesReply: Codable, Sendable {
    public var issues: [Issue]
    public init(issues: [Issue]) { self.issues = issues }
  }

  public struct EventReply: Codable, Sendable {
    public var event: Event
    public init(event: Event) { self.event = event }
  }

  /// Something that happened, as `Monitor` streams it.
  public struct Event: Codable, Sendable, Equatable {
    /// Seconds since 1970.
    public var time: Int
    /// `state`, `violation`, `dma-fault`, `unit`, `interface`, `link`, `binding`, `failure` or `configuration`.
    public var kind: String
    public var address: String
    public var name: String?
    public var state: String?
    public var text: String

    public init(time: Int, kind: String, address: String, name: String?, state: String?, text: String) {
      self.time = time
      self.kind = kind
      self.address = address
      self.name = name
      self.state = state
      self.text = text
    }
  }
}
