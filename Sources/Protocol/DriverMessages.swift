/// The class of a device: which proxy and which part of the protocol its driver uses.
public enum DeviceClass: UInt8, CaseIterable, Sendable {
  case block = 1
  case network = 2
}

/// Why a driver gave up, in its own words; the number is part of the protocol.
public enum FailureCode: UInt16, CaseIterable, Sendable {
  /// The device does not answer: a register reads as all ones.
  case deviceGone = 1
  /// A hardware wait ran out of its time.
  case timeout = 2
  /// The device reports an error it cannot leave.
  case deviceError = 3
  /// The device lacks what the driver needs, or says something impossible.
  case unsupported = 4
  /// The broker broke the protocol, as the driver sees it.
  case protocolError = 5
  /// The driver was granted less than it needs.
  case resources = 6
}

/// What a driver says to its broker. Untrusted.
public enum DriverMessage: ControlMessage {
  /// First words: the name and version of the driver, for logs.
  case hello(name: String, version: String)
  /// Asks for `width` (1, 2 or 4) bytes of config space; answered by ``BrokerMessage/configValue(value:errno:)``.
  case configRead(offset: UInt16, width: UInt8)
  case configWrite(offset: UInt16, width: UInt8, value: UInt32)
  /// Block class: one unit; sent for each before ``ready``.
  case blockUnit(BlockUnit)
  /// The device is up; the driver waits for ``BrokerMessage/start``.
  case ready
  /// Answer to a heartbeat.
  case pong(sequence: UInt32)
  /// Answer to stop: the device is shut down.
  case stopped
  /// The driver gives up; it exits next.
  case failed(code: FailureCode, errno: UInt16, deviceStatus: UInt32, detail: String)
  /// Network class: the port; sent once, before ``ready``.
  case networkPort(NetworkPort)
  /// Network class: the link as it is now; sent once before ``ready``, then whenever it changes.
  case networkLink(NetworkLink)
  /// Network class: the settings with this number are in force, or cannot be (an errno).
  case networkApplied(sequence: UInt32, errno: UInt16)
  /// Network class: answer to ``BrokerMessage/networkCount``.
  case networkStatistics(NetworkStatistics)

  public enum Kind: UInt16, CaseIterable, Sendable {
    case hello = 1
    case configRead, configWrite, blockUnit, ready, pong, stopped, failed
    case networkPort, networkLink, networkApplied, networkStatistics
  }

  public var kind: Kind {
    switch self {
    case .hello: .hello
    case .configRead: .configRead
    case .configWrite: .configWrite
    case .blockUnit: .blockUnit
    case .ready: .ready
    case .pong: .pong
    case .stopped: .stopped
    case .failed: .failed
    case .networkPort: .networkPort
    case .networkLink: .networkLink
    case .networkApplied: .networkApplied
    case .networkStatistics: .networkStatistics
    }
  }

  public func encodePayload(into writer: inout WireWriter) {
    switch self {
    case .hello(let name, let version):
      writer.put(name, limit: 32)
      writer.put(version, limit: 32)
    case .configRead(let offset, let width):
      writer.put(offset)
      writer.put(width)
    case .configWrite(let offset, let width, let value):
      writer.put(offset)
      writer.put(width)
      writer.put(value)
    case .blockUnit(let unit): unit.encode(into: &writer)
    case .ready, .stopped: break
    case .pong(let sequence): writer.put(sequence)
    case .failed(let code, let errno, let deviceStatus, let detail):
      writer.put(code.rawValue)
      writer.put(errno)
      writer.put(deviceStatus)
      writer.put(detail, limit: 200)
    case .networkPort(let port): port.encode(into: &writer)
    case .networkLink(let link): link.encode(into: &writer)
    case .networkApplied(let sequence, let errno):
      writer.put(sequence)
      writer.put(errno)
    case .networkStatistics(let statistics): statistics.encode(into: &writer)
    }
  }

  public static func decode(_ kind: Kind, from reader: inout WireReader) throws(WireError) -> DriverMessage {
    switch kind {
    case .hello:
      return .hello(
        name: try reader.text(limit: 32, "driver name"), version: try reader.text(limit: 32, "driver version"))
    case .configRead:
      return .configRead(offset: try reader.get("config offset"), width: try reader.configWidth())
    case .configWrite:
      return .configWrite(
        offset: try reader.get("config offset"), width: try reader.configWidth(), value: try reader.get("config value"))
    case .blockUnit: return .blockUnit(try BlockUnit(from: &reader))
    case .ready: return .ready
    case .pong: return .pong(sequence: try reader.get("pong sequence"))
    case .stopped: return .stopped
    case .failed:
      guard let code = FailureCode(rawValue: try reader.get("failure code")) else {
        throw .invalidValue("failure code")
      }
      return .failed(
        code: code, errno: try reader.get("failure errno"), deviceStatus: try reader.get("failure status"),
        detail: try reader.text(limit: 200, "failure detail"))
    case .networkPort: return .networkPort(try NetworkPort(from: &reader))
    case .networkLink: return .networkLink(try NetworkLink(from: &reader))
    case .networkApplied:
      return .networkApplied(sequence: try reader.get("applied sequence"), errno: try reader.get("applied errno"))
    case .networkStatistics: return .networkStatistics(try NetworkStatistics(from: &reader))
    }
  }
}

extension WireReader {
  fileprivate mutating func configWidth() throws(WireError) -> UInt8 {
    let width = try get(UInt8.self, "config width")
    guard width == 1 || width == 2 || width == 4 else { throw .invalidValue("config width") }
    return width
  }
}

/// What a driver learns of its device and of what it was granted.
public struct DeviceGrant: WireCodable {
  public var deviceClass: DeviceClass
  public var vendor: UInt16
  public var device: UInt16
  public var subsystemVendor: UInt16
  public var subsystem: UInt16
  public var revision: UInt8
  /// Interrupt vectors: eventfds from ``DriverFile/interrupts``.
  public var interrupts: UInt8
  /// Virtqueues in the rings memory, each with its kick and call eventfd.
  public var queues: UInt8
  /// Descriptors of each queue; a power of two.
  public var queueSize: UInt16
  /// Bytes of the driver's DMA memory, at ``AddressMap/arena``.
  public var arenaSize: UInt32
  /// Bytes of payload memory, at ``AddressMap/payload``.
  public var payloadSize: UInt32
  /// Whether the payload is mapped into the driver too.
  public var payloadMapped: Bool
  /// How long to poll after the last work before sleeping, in microseconds.
  public var spinMicroseconds: UInt32
  public var bars: [BarRange]
  /// Whether the device is emulated and wants ``DriverFile/bell`` after a write to its BAR.
  public var hasBell: Bool

  public init(
    deviceClass: DeviceClass, vendor: UInt16, device: UInt16, subsystemVendor: UInt16, subsystem: UInt16,
    revision: UInt8,
    interrupts: UInt8, queues: UInt8, queueSize: UInt16, arenaSize: UInt32, payloadSize: UInt32, payloadMapped: Bool,
    spinMicroseconds: UInt32, bars: [BarRange], hasBell: Bool = false
  ) {
    self.deviceClass = deviceClass
    self.vendor = vendor
    self.device = device
    self.subsystemVendor = subsystemVendor
    self.subsystem = subsystem
    self.revision = revision
    self.interrupts = interrupts
    self.queues = queues
    self.queueSize = queueSize
    self.arenaSize = arenaSize
    self.payloadSize = payloadSize
    self.payloadMapped = payloadMapped
    self.spinMicroseconds = spinMicroseconds
    self.bars = bars
    self.hasBell = hasBell
  }

  public func encode(into writer: inout WireWriter) {
    writer.put(deviceClass.rawValue)
    for value in [vendor, device, subsystemVendor, subsystem] { writer.put(value) }
    writer.put(revision)
    writer.put(interrupts)
    writer.put(queues)
    writer.put(queueSize)
    writer.put(arenaSize)
    writer.put(payloadSize)
    writer.put(payloadMapped)
    writer.put(spinMicroseconds)
    writer.put(bars)
    writer.put(hasBell)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    guard let deviceClass = DeviceClass(rawValue: try reader.get("device class")) else {
      throw .invalidValue("device class")
    }
    self.deviceClass = deviceClass
    vendor = try reader.get("vendor")
    device = try reader.get("device")
    subsystemVendor = try reader.get("subsystem vendor")
    subsystem = try reader.get("subsystem")
    revision = try reader.get("revision")
    interrupts = try reader.get("interrupts")
    queues = try reader.get("queues")
    queueSize = try reader.get("queue size")
    arenaSize = try reader.get("arena size")
    payloadSize = try reader.get("payload size")
    payloadMapped = try reader.get("payload mapped")
    spinMicroseconds = try reader.get("spin")
    bars = try reader.bars()
    hasBell = try reader.get("has bell")
    guard interrupts <= DriverFile.maximumInterrupts, queues <= DriverFile.maximumQueues,
      queueSize.nonzeroBitCount == 1
    else { throw .invalidValue("device grant") }
  }
}

/// What a broker says to its driver.
public enum BrokerMessage: ControlMessage {
  /// Answer to hello: what the driver has.
  case grant(DeviceGrant)
  /// Answer to a config-space access: the value, or an errno (EPERM: not on the allow-list).
  case configValue(value: UInt32, errno: UInt16)
  /// Serve: the queues are live.
  case start
  /// Heartbeat; answer with the same number.
  case ping(sequence: UInt32)
  /// Shut the device down and answer ``DriverMessage/stopped``.
  case stop
  /// Network class: how the port has to be; answered by ``DriverMessage/networkApplied(sequence:errno:)``. Once before
  /// ``start``, then whenever something changes.
  case networkSettings(NetworkSettings)
  /// Network class: asks for ``DriverMessage/networkStatistics(_:)``.
  case networkCount

  public enum Kind: UInt16, CaseIterable, Sendable {
    case grant = 1
    case configValue, start, ping, stop
    case networkSettings, networkCount
  }

  public var kind: Kind {
    switch self {
    case .grant: .grant
    case .configValue: .configValue
    case .start: .start
    case .ping: .ping
    case .stop: .stop
    case .networkSettings: .networkSettings
    case .networkCount: .networkCount
    }
  }

  public func encodePayload(into writer: inout WireWriter) {
    switch self {
    case .grant(let grant): grant.encode(into: &writer)
    case .configValue(let value, let errno):
      writer.put(value)
      writer.put(errno)
    case .start, .stop, .networkCount: break
    case .ping(let sequence): writer.put(sequence)
    case .networkSettings(let settings): settings.encode(into: &writer)
    }
  }

  public static func decode(_ kind: Kind, from reader: inout WireReader) throws(WireError) -> BrokerMessage {
    switch kind {
    case .grant: return .grant(try DeviceGrant(from: &reader))
    case .configValue:
      return .configValue(value: try reader.get("config value"), errno: try reader.get("config errno"))
    case .start: return .start
    case .ping: return .ping(sequence: try reader.get("ping sequence"))
    case .stop: return .stop
    case .networkSettings: return .networkSettings(try NetworkSettings(from: &reader))
    case .networkCount: return .networkCount
    }
  }
}

/// The broker's first message on a new control socket; it is for the jail, and carries the driver's files.
public enum JailMessage: ControlMessage {
  case launch(LaunchGrant)

  public enum Kind: UInt16, CaseIterable, Sendable { case launch = 0x100 }
  public var kind: Kind { .launch }

  public func encodePayload(into writer: inout WireWriter) {
    guard case .launch(let grant) = self else { return }
    grant.encode(into: &writer)
  }

  public static func decode(_ kind: Kind, from reader: inout WireReader) throws(WireError) -> JailMessage {
    .launch(try LaunchGrant(from: &reader))
  }
}
