extension Outlet {
  /// The interface of a network device, as the kernel shows it.
  public struct Interface: Codable, Sendable, Equatable {
    public var name: String
    public var index: Int
    /// Nil: that of bulkheadd.
    public var namespace: String?
    /// The name of the bridge or VRF.
    public var master: String?
    public var address: String
    /// Bytes.
    public var mtu: Int
    public var up: Bool
    public var carrier: Bool
    public var promiscuous: Bool
    public var allMulticast: Bool
    public var multicast: [String]
    public var queuePairs: Int
    /// Who moves the frames: `vhost` (the kernel) or `broker`; nil while nobody does.
    public var datapath: String?
    public var statistics: InterfaceStatistics

    public init(
      name: String, index: Int, namespace: String?, master: String?, address: String, mtu: Int, up: Bool,
      carrier: Bool, promiscuous: Bool, allMulticast: Bool, multicast: [String], queuePairs: Int, datapath: String?,
      statistics: InterfaceStatistics
    ) {
      self.name = name
      self.index = index
      self.namespace = namespace
      self.master = master
      self.address = address
      self.mtu = mtu
      self.up = up
      self.carrier = carrier
      self.promiscuous = promiscuous
      self.allMulticast = allMulticast
      self.multicast = multicast
      self.queuePairs = queuePairs
      self.datapath = datapath
      self.statistics = statistics
    }
  }

  /// What `ip -s link` shows.
  public struct InterfaceStatistics: Codable, Sendable, Equatable {
    public var receivedPackets = 0
    public var receivedBytes = 0
    public var receiveErrors = 0
    public var receiveDropped = 0
    public var sentPackets = 0
    public var sentBytes = 0
    public var sendErrors = 0
    public var sendDropped = 0

    public init() {}
  }

  /// What the driver says of the NIC's port.
  public struct Port: Codable, Sendable, Equatable {
    public var model: String
    public var firmware: String
    /// The NIC's own.
    public var address: String
    /// Bytes.
    public var maximumMTU: Int
    /// What the NIC does for its frames: `transmit-checksum`, `transmit-tcp4`, ...
    public var offloads: [String]
    public var queuePairs: Int
    public var up: Bool
    /// Megabits a second; 0: not known.
    public var speed: Int
    public var fullDuplex: Bool
    /// What the port was brought to; nil before it was brought to anything.
    public var settings: PortSettings?
    /// Why it could not be brought to what the interface says now.
    public var settingsError: String?
    /// What NIC and driver have counted since the driver started, by name.
    public var counters: [String: Int]

    public init(
      model: String, firmware: String, address: String, maximumMTU: Int, offloads: [String], queuePairs: Int,
      up: Bool, speed: Int, fullDuplex: Bool, settings: PortSettings?, settingsError: String?,
      counters: [String: Int]
    ) {
      self.model = model
      self.firmware = firmware
      self.address = address
      self.maximumMTU = maximumMTU
      self.offloads = offloads
      self.queuePairs = queuePairs
      self.up = up
      self.speed = speed
      self.fullDuplex = fullDuplex
      self.settings = settings
      self.settingsError = settingsError
      self.counters = counters
    }
  }

  /// How a port takes and gives frames.
  public struct PortSettings: Codable, Sendable, Equatable {
    public var enabled: Bool
    public var address: String
    public var mtu: Int
    public var promiscuous: Bool
    public var allMulticast: Bool
    public var multicast: [String]

    public init(
      enabled: Bool, address: String, mtu: Int, promiscuous: Bool, allMulticast: Bool, multicast: [String]
    ) {
      self.enabled = enabled
      self.address = address
      self.mtu = mtu
      self.promiscuous = promiscuous
      self.allMulticast = allMulticast
      self.multicast = multicast
    }
  }
}
