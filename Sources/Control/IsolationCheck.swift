/// Whether a device can be isolated, and what is in the way.
public struct IsolationCheck: Codable, Sendable, Equatable {
  public var address: String
  public var vendorID: String
  public var deviceID: String
  public var vendor: String
  public var model: String
  public var className: String
  public var kernelDriver: String?
  public var group: Int?
  /// The other members of the group, in words.
  public var groupMembers: [String] = []
  /// The bridges above it with their ACS, in words.
  public var bridges: [String] = []
  /// `on`, or what is wrong.
  public var interruptRemapping: String
  /// In the order the kernel tries.
  public var resetMethods: [String] = []
  /// Bulkhead drivers that claim it; nil where nobody has looked.
  public var drivers: [String]?
  public var isolatable = false
  public var blockers: [Reason] = []
  public var notes: [String] = []

  public init(
    address: String, vendorID: String, deviceID: String, vendor: String, model: String, className: String,
    interruptRemapping: String
  ) {
    self.address = address
    self.vendorID = vendorID
    self.deviceID = deviceID
    self.vendor = vendor
    self.model = model
    self.className = className
    self.interruptRemapping = interruptRemapping
  }
}
