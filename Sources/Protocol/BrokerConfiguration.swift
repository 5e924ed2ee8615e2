/// What the supervisor tells a new broker, once.
public struct BrokerConfiguration: WireCodable {
  /// The device, `0000:01:00.0`.
  public var address: String
  /// Its IOMMU group: the broker opens `/dev/vfio/<group>`. 0 for an emulated device.
  public var group: UInt32
  public var deviceClass: DeviceClass
  /// User and group that the broker becomes.
  public var uid: UInt32
  /// Bit b: the driver may map BAR b.
  public var bars: UInt8
  public var interrupts: UInt8
  public var queues: UInt8
  public var queueSize: UInt16
  /// Bytes of the driver's DMA memory.
  public var arenaSize: UInt32
  /// Bytes of payload memory; 0 for a network device.
  public var payloadSize: UInt32
  public var mapsPayload: Bool
  public var readOnly: Bool
  /// Units that get an outlet: the first so many.
  public var unitLimit: UInt8
  /// Connections to the kernel's block device for each unit; 0: no kernel block device.
  public var kernelConnections: UInt8
  /// Milliseconds between heartbeats.
  public var heartbeatInterval: UInt32
  /// Milliseconds without an answer after which a driver counts as hung.
  public var heartbeatTimeout: UInt32
  /// Milliseconds from launch to ready.
  public var startTimeout: UInt32
  /// Microseconds to go on polling after the last work.
  public var spinMicroseconds: UInt32
  /// Interrupts a second, for one vector, that count as a storm; 0: never.
  public var interruptLimit: UInt32
  /// The emulated device as text, without its file; empty: a real device, through VFIO.
  public var emulation: String
  /// Whether the outlet's listening socket comes with this message, as the first of its files.
  public var hasListener: Bool
  /// Whether the broker was started as root and becomes ``uid``. Otherwise it stays the user that it is, in a user
  /// namespace of its own.
  public var isPrivileged: Bool
  /// The outlet of a network device; nil for other classes.
  public var network: NetworkOutletConfiguration?

  /// What ``queueSize`` can be: a power of two.
  public static let queueSizes = 4...1024

  /// The most bytes of ``emulation``.
  public static let emulationLimit = 255

  public init(
    address: String, group: UInt32, deviceClass: DeviceClass, uid: UInt32, bars: UInt8, interrupts: UInt8,
    queues: UInt8,
    queueSize: UInt16, arenaSize: UInt32, payloadSize: UInt32, mapsPayload: Bool, readOnly: Bool, unitLimit: UInt8,
    kernelConnections: UInt8, heartbeatInterval: UInt32, heartbeatTimeout: UInt32, startTimeout: UInt32,
    spinMicroseconds: UInt32, interruptLimit: UInt32, emulation: String = "", hasListener: Bool = false,
    isPrivileged: Bool = true, network: NetworkOutletConfiguration? = nil
  ) {
    self.address = address
    self.group = group
    self.deviceClass = deviceClass
    self.uid = uid
    self.bars = bars
    self.interrupts = interrupts
    self.queues = queues
    self.queueSize = queueSize
    self.arenaSize = arenaSize
    self.payloadSize = payloadSize
    self.mapsPayload = mapsPayload
    self.readOnly = readOnly
    self.unitLimit = unitLimit
    self.kernelConnections = kernelConnections
    self.heartbeatInterval = heartbeatInterval
    self.heartbeatTimeout = heartbeatTimeout
    self.startTimeout = startTimeout
    self.spinMicroseconds = spinMicroseconds
    self.interruptLimit = interruptLimit
    self.emulation = emulation
    self.hasListener = hasListener
    self.isPrivileged = isPrivileged
    self.network = network
  }

  /// Files that travel with this message: the listener, if there is one, those of the network outlet, then an emulated
  /// device's medium.
  public var fileCount: Int { (hasListener ? 1 : 0) + (network?.fileCount ?? 0) + (emulation.isEmpty ? 0 : 1) }

  public func encode(into writer: inout WireWriter) {
    writer.put(address, limit: 16)
    writer.put(group)
    writer.put(deviceClass.rawValue)
    writer.put(uid)
    for value in [bars, interrupts, queues] { writer.put(value) }
    writer.put(queueSize)
    writer.put(arenaSize)
    writer.put(payloadSize)
    writer.put(mapsPayload)
    writer.put(readOnly)
    writer.put(unitLimit)
    writer.put(kernelConnections)
    for value in [heartbeatInterval, heartbeatTimeout, startTimeout, spinMicroseconds, interruptLimit] {
      writer.put(value)
    }
    writer.put(emulation, limit: Self.emulationLimit)
    writer.put(hasListener)
    writer.put(isPrivileged)
    writer.put(network != nil)
    network?.encode(into: &writer)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    address = try reader.text(limit: 16, "address")
    group = try reader.get("group")
    guard let deviceClass = DeviceClass(rawValue: try reader.get("device class")) else {
      throw .invalidValue("device class")
    }
    self.deviceClass = deviceClass
    uid = try reader.get("uid")
    bars = try reader.get("bars")
    interrupts = try reader.get("interrupts")
    queues = try reader.get("queues")
    queueSize = try reader.get("queue size")
    arenaSize = try reader.get("arena size")
    payloadSize = try reader.get("payload size")
    mapsPayload = try reader.get("maps payload")
    readOnly = try reader.get("read only")
    unitLimit = try reader.get("unit limit")
    kernelConnections = try reader.get("kernel connections")
    heartbeatInterval = try reader.get("heartbeat interval")
    heartbeatTimeout = try reader.get("heartbeat timeout")
    startTimeout = try reader.get("start timeout")
    spinMicroseconds = try reader.get("spin")
    interruptLimit = try reader.get("interrupt limit")
    emulation = try reader.text(limit: Self.emulationLimit, "emulation")
    hasListener = try reader.get("has listener")
    isPrivileged = try reader.get("is privileged")
    network = try reader.get("has network") ? try NetworkOutletConfiguration(from: &reader) : nil
    guard (deviceClass == .network) == (network != nil) else { throw .invalidValue("network") }
    guard network == nil || Int(queues) == 2 * Int(network!.queuePairs) else { throw .invalidValue("queue pairs") }
    guard uid != 0 || !isPrivileged else { throw .invalidValue("uid") }
    guard (1...DriverFile.maximumInterrupts).contains(Int(interrupts)) else { throw .invalidValue("interrupts") }
    guard (1...DriverFile.maximumQueues).contains(Int(queues)) else { throw .invalidValue("queues") }
    guard queueSize.nonzeroBitCount == 1, Self.queueSizes.contains(Int(queueSize)) else {
      throw .invalidValue("queue size")
    }
    guard arenaSize > 0, arenaSize <= AddressMap.maximumArena else { throw .invalidValue("arena size") }
    // Frames are in the driver's arena, and a network device has no payload beside it.
    guard (payloadSize > 0) == (network == nil), payloadSize <= AddressMap.maximumPayload else {
      throw .invalidValue("payload size")
    }
    guard unitLimit <= BlockUnit.maximumCount else { throw .invalidValue("unit limit") }
    guard heartbeatInterval > 0, heartbeatTimeout >= heartbeatInterval else { throw .invalidValue("heartbeat") }
  }
}

/// What a broker is told of the interface that it serves.
public struct NetworkOutletConfiguration: WireCodable, Equatable {
  /// Queues of the TAP, each with its file; a driver may serve fewer.
  public var queuePairs: UInt8
  /// Whether the kernel moves the frames (vhost-net, one open file for each pair). Otherwise the broker does.
  public var usesVhost: Bool
  /// How long vhost-net polls for more before it sleeps, in microseconds; 0: not at all.
  public var busyPollMicroseconds: UInt32

  /// The most pairs.
  public static let maximumPairs = 8

  public init(queuePairs: UInt8, usesVhost: Bool, busyPollMicroseconds: UInt32 = 0) {
    self.queuePairs = queuePairs
    self.usesVhost = usesVhost
    self.busyPollMicroseconds = busyPollMicroseconds
  }

  /// The TAP's files, then vhost-net's.
  public var fileCount: Int { Int(queuePairs) * (usesVhost ? 2 : 1) }

  public func encode(into writer: inout WireWriter) {
    writer.put(queuePairs)
    writer.put(usesVhost)
    writer.put(busyPollMicroseconds)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    queuePairs = try reader.get("queue pairs")
    usesVhost = try reader.get("uses vhost")
    busyPollMicroseconds = try reader.get("busy poll")
    guard (1...UInt8(Self.maximumPairs)).contains(queuePairs) else { throw .invalidValue("queue pairs") }
  }
}
