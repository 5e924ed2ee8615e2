/// What a driver is, what it drives, and what it needs: one file beside each driver, read by the supervisor.
public struct DriverManifest: Equatable, Sendable {
  /// A PCI id that the driver claims; nil matches anything.
  public struct Match: Equatable, Sendable {
    public var vendor: UInt16?
    public var device: UInt16?
    /// Class code without programming interface where that is nil: `0x0108_02` is base class, subclass, interface.
    public var classCode: UInt32?

    public init(vendor: UInt16? = nil, device: UInt16? = nil, classCode: UInt32? = nil) {
      self.vendor = vendor
      self.device = device
      self.classCode = classCode
    }
  }

  public static let usualQueueSize = 256

  public var name: String
  /// Of the driver, for people; nil where the manifest does not say.
  public var version: String?
  public var deviceClass: DeviceClass
  /// File name of the static executable, in the manifest's folder.
  public var executable: String
  public var matches: [Match]
  /// Numbers of the BARs that it may map.
  public var bars: [UInt8]
  /// The most interrupt vectors that it can use.
  public var interrupts: Int
  /// The most virtqueues that it can serve.
  public var queues: Int
  /// Entries of a virtqueue that suit it, a power of two; nil: ``usualQueueSize``.
  public var queueSize: Int?
  /// Bytes of DMA memory of its own.
  public var arenaSize: Int
  /// Whether payload must be mapped into the driver too.
  public var mapsPayload: Bool
  /// Options that the administrator may set, given to the driver as `name=value` arguments.
  public var options: [String]

  public init(
    name: String, deviceClass: DeviceClass, executable: String, matches: [Match], bars: [UInt8], interrupts: Int,
    queues: Int, queueSize: Int? = nil, arenaSize: Int, mapsPayload: Bool, options: [String]
  ) {
    self.name = name
    self.deviceClass = deviceClass
    self.executable = executable
    self.matches = matches
    self.bars = bars
    self.interrupts = interrupts
    self.queues = queues
    self.queueSize = queueSize
    self.arenaSize = arenaSize
    self.mapsPayload = mapsPayload
    self.options = options
  }
}
