/// One device as the service shows it. Field names are those of `io.bulkhead.varlink`.
public struct Device: Codable, Sendable, Equatable {
  public var address: String
  /// The name that the configuration gives it.
  public var name: String?
  /// Four hexadecimal digits.
  public var vendorID: String
  public var deviceID: String
  public var vendor: String
  public var model: String
  public var className: String
  /// The kernel's own driver that has the device now.
  public var kernelDriver: String?
  /// The IOMMU group.
  public var group: Int?
  public var configured = false
  /// Where the configuration names it: `file:line`.
  public var origin: String?
  public var driver: String?
  public var driverVersion: String?
  /// What the configuration, or since then an operator, asks for: `running`, `stopped`, `held` (taken without a driver, for
  /// the sake of its IOMMU group) or `kernel` (left to the kernel's own driver).
  public var desired = "kernel"
  /// What is: a state of the device life cycle; `unconfigured` for a device that is not Bulkhead's.
  public var state: String
  /// Why it is in this state, where that is not the ordinary course.
  public var reason: String?
  public var hint: String?
  /// Seconds since 1970 of the last change of state.
  public var since = 0
  /// The number of drivers that the present broker has had.
  public var generation = 0
  public var brokerPid: Int?
  public var driverPid: Int?
  /// Drivers started again because one was lost.
  public var restarts = 0
  public var brokerRestarts = 0
  public var outlet: Outlet?
  public var counters: Counters?
  /// How long requests to a block device took, by operation; empty where there is no broker that measures.
  public var latencies: [RequestLatency] = []
  /// Seconds since 1970 when the broker began, and with it ``counters`` and ``latencies``; nil where there is none.
  public var brokerSince: Int?
  /// Seconds since 1970 when ``restarts``, ``brokerRestarts`` and ``violations`` began to be counted; 0: they are not.
  public var countedSince = 0
  public var violations: [ViolationCount] = []
  public var dmaFault: DMAFaultDetail?
  /// What an emulated device is made of; nil for a device of this machine.
  public var emulation: Emulation?

  /// What an emulated device is made of.
  public struct Emulation: Codable, Sendable, Equatable {
    /// The file that holds its blocks; nil: memory.
    public var file: String?
    /// Bytes of the file or memory; nil while the device is not taken.
    public var size: Int?
    /// As `emulated` has it in the configuration, without the file.
    public var options: String

    public init(file: String?, size: Int?, options: String) {
      self.file = file
      self.size = size
      self.options = options
    }

    /// `nvme, on disk.img (64 MiB)`
    public var summary: String {
      // A network device has a wire, and no blocks.
      guard options.hasPrefix("nvme") else { return options }
      let size = size.map { " (\(HumanUnits.bytes($0)))" } ?? ""
      return "\(options), \(file.map { "on \($0)" } ?? "in memory")\(size)"
    }
  }

  public init(
    address: String, vendorID: String, deviceID: String, vendor: String, model: String, className: String, state: String
  ) {
    self.address = address
    self.vendorID = vendorID
    self.deviceID = deviceID
    self.vendor = vendor
    self.model = model
    self.className = className
    self.state = state
  }
}

/// Where the rest of the machine uses a device.
public struct Outlet: Codable, Sendable, Equatable {
  /// The Unix socket that speaks NBD.
  public var socket: String?
  /// Of a block device.
  public var units: [Unit]
  /// Of a network device.
  public var interface: Interface?
  /// What the driver of a network device says of the NIC; nil while there is none that serves.
  public var port: Port?

  public init(socket: String?, units: [Unit]) {
    self.socket = socket
    self.units = units
  }

  /// One part of a block device: an NVMe namespace.
  public struct Unit: Codable, Sendable, Equatable {
    public var index: Int
    /// The device's own number for it.
    public var identifier: Int
    public var name: String
    /// Its name on the NBD socket; the first one needs none.
    public var export: String
    /// Bytes.
    public var size: Int
    /// Bytes of a logical block.
    public var blockSize: Int
    public var readOnly: Bool
    public var model: String
    public var serial: String
    /// `/dev/nbd0`
    public var kernelDevice: String?
    /// `/dev/bulkhead/scratch`
    public var link: String?

    public init(
      index: Int, identifier: Int, name: String, export: String, size: Int, blockSize: Int, readOnly: Bool,
      model: String,
      serial: String, kernelDevice: String?, link: String?
    ) {
      self.index = index
      self.identifier = identifier
      self.name = name
      self.export = export
      self.size = size
      self.blockSize = blockSize
      self.readOnly = readOnly
      self.model = model
      self.serial = serial
      self.kernelDevice = kernelDevice
      self.link = link
    }
  }
}

/// What a broker has counted since it began.
public struct Counters: Codable, Sendable, Equatable {
  public var reads = 0
  public var writes = 0
  public var flushes = 0
  public var discards = 0
  public var bytesRead = 0
  public var bytesWritten = 0
  public var errors = 0
  public var replayed = 0
  public var inFlight = 0
  public var clients = 0
  public var wakeups = 0
  public var interrupts = 0
  /// Frames that the broker moved itself, out to the wire and in from it, and their bytes; what vhost-net moves, the
  /// interface counts.
  public var framesOut = 0
  public var framesIn = 0
  public var bytesOut = 0
  public var bytesIn = 0
  /// Frames from the driver that the kernel did not take.
  public var framesRefused = 0
  /// Resets of the device that succeeded.
  public var resets = 0

  public init() {}
}

/// How often a driver or its device did one thing that it must not do.
public struct ViolationCount: Codable, Sendable, Equatable {
  /// The stable name, such as `dma-fault`.
  public var name: String
  public var count: Int
  /// Of the last one.
  public var detail: String
  /// Seconds since 1970, of the last one.
  public var time: Int

  public init(name: String, count: Int, detail: String, time: Int) {
    self.name = name
    self.count = count
    self.detail = detail
    self.time = time
  }
}

/// A DMA access that the IOMMU refused.
public struct DMAFaultDetail: Codable, Sendable, Equatable {
  /// The device as the kernel's log names it.
  public var device: String
  /// `read`, `write`, or what the kernel calls it.
  public var access: String
  /// The IOVA, hexadecimal with `0x`.
  public var address: String?
  public var reason: String
  /// The line of the kernel's log.
  public var text: String
  /// Seconds since 1970.
  public var time: Int

  public init(device: String, access: String, address: String?, reason: String, text: String, time: Int) {
    self.device = device
    self.access = access
    self.address = address
    self.reason = reason
    self.text = text
    self.time = time
  }
}
