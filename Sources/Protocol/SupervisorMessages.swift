import Platform

/// What the supervisor tells a broker. Both are trusted; the encoding is the same as towards drivers.
public enum BrokerCommand: ControlMessage {
  /// First message. Files: see ``BrokerConfiguration/fileCount``.
  case configure(BrokerConfiguration)
  /// A driver is to be started; the envelope's generation is its number. Files: the broker's end of its control socket.
  case attachDriver
  /// The driver's process is gone, for sure.
  case driverGone
  /// Ask the driver to shut its device down.
  case stopDriver
  /// Send what there is of ``BrokerEvent/latency(_:)``, then ``BrokerEvent/counters(_:)``.
  case report
  /// How the port of a network device is to be, all of it. The broker repeats it to each next driver, under a number of its
  /// own; ``BrokerEvent/networkApplied(sequence:errno:)`` has the supervisor's, which counts from 1.
  case networkSettings(NetworkSettings)
  /// Close the outlets, put the device at rest and leave.
  case shutdown

  public enum Kind: UInt16, CaseIterable, Sendable {
    case configure = 0x200
    case attachDriver, driverGone, stopDriver, report, shutdown, networkSettings
  }

  public var kind: Kind {
    switch self {
    case .configure: .configure
    case .attachDriver: .attachDriver
    case .driverGone: .driverGone
    case .stopDriver: .stopDriver
    case .report: .report
    case .networkSettings: .networkSettings
    case .shutdown: .shutdown
    }
  }

  public func encodePayload(into writer: inout WireWriter) {
    switch self {
    case .configure(let configuration): configuration.encode(into: &writer)
    case .networkSettings(let settings): settings.encode(into: &writer)
    case .attachDriver, .driverGone, .stopDriver, .report, .shutdown: break
    }
  }

  public static func decode(_ kind: Kind, from reader: inout WireReader) throws(WireError) -> BrokerCommand {
    switch kind {
    case .configure: .configure(try BrokerConfiguration(from: &reader))
    case .attachDriver: .attachDriver
    case .driverGone: .driverGone
    case .stopDriver: .stopDriver
    case .report: .report
    case .networkSettings: .networkSettings(try NetworkSettings(from: &reader))
    case .shutdown: .shutdown
    }
  }
}

/// What a broker has counted since it began.
public struct BrokerCounters: WireCodable {
  public var reads: UInt64 = 0
  public var writes: UInt64 = 0
  public var flushes: UInt64 = 0
  public var discards: UInt64 = 0
  public var bytesRead: UInt64 = 0
  public var bytesWritten: UInt64 = 0
  /// Requests answered with an error.
  public var errors: UInt64 = 0
  /// Requests given to a second or later driver.
  public var replayed: UInt64 = 0
  public var inFlight: UInt32 = 0
  /// Connections to the outlet.
  public var clients: UInt32 = 0
  /// Frames that the broker moved itself, out to the wire and in from it; what vhost-net moves, only the interface counts.
  public var framesOut: UInt64 = 0
  public var framesIn: UInt64 = 0
  /// Bytes of them, without headers.
  public var bytesOut: UInt64 = 0
  public var bytesIn: UInt64 = 0
  /// Inbound frames that the kernel did not take: header and frame contradict each other, or the interface is down.
  public var framesRefused: UInt64 = 0
  /// Inbound frames that vhost-net has taken from the present or last driver, modulo 65536; 0 where the broker moves them.
  public var framesTaken: UInt64 = 0
  public var wakeups: UInt64 = 0
  public var interrupts: UInt64 = 0
  /// Resets of the device that succeeded: the first before any driver, then one after each.
  public var resets: UInt64 = 0

  public init() {}

  private static let sixtyFourBit: [WritableKeyPath<BrokerCounters, UInt64> & Sendable] = [
    \.reads, \.writes, \.flushes, \.discards, \.bytesRead, \.bytesWritten, \.errors, \.replayed, \.wakeups,
    \.interrupts, \.framesOut, \.framesIn, \.bytesOut, \.bytesIn, \.framesRefused, \.framesTaken, \.resets,
  ]

  public func encode(into writer: inout WireWriter) {
    for field in Self.sixtyFourBit { writer.put(self[keyPath: field]) }
    writer.put(inFlight)
    writer.put(clients)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    for field in Self.sixtyFourBit { self[keyPath: field] = try reader.get("counter") }
    inFlight = try reader.get("in flight")
    clients = try reader.get("clients")
  }
}

/// Why a broker wants its driver killed.
public enum DriverLoss: UInt8, CaseIterable, Sendable {
  /// It closed its control socket.
  case hungUp = 1
  /// It did not answer the heartbeat in time.
  case unresponsive
  /// It did not become ready in time.
  case startTimeout
  /// It gave up by itself; a ``BrokerEvent/driverFailed(code:errno:deviceStatus:detail:)`` came before.
  case failed
  /// What it said or did cannot be believed any more; a ``BrokerEvent/violation(_:count:detail:)`` came before.
  case violation
}

/// What a broker tells the supervisor. The envelope's generation names the driver where one is meant.
public enum BrokerEvent: ControlMessage {
  /// The device is open and confined, the broker too; a driver can be attached.
  case configured
  /// The driver has introduced itself.
  case driverHello(name: String, version: String)
  /// A unit with an outlet, at the first driver's start. Files: as many connected sockets for the kernel's NBD client as
  /// the configuration asks for; they are to be handed to the kernel.
  case unit(BlockUnit, transmissionFlags: UInt16)
  /// What a network driver says of its port, each driver anew.
  case networkPort(NetworkPort)
  /// The state of the port's link; ``NetworkLink/down`` when the driver is gone.
  case networkLink(NetworkLink)
  /// The driver brought the port to settings, or could not; errno is 0 or why. The sequence is the supervisor's number of
  /// the settings; 0: they are none of the supervisor's.
  case networkApplied(sequence: UInt32, errno: UInt16)
  /// What the NIC has counted; follows ``BrokerCommand/report`` while a network driver serves.
  case networkStatistics(NetworkStatistics)
  /// The driver serves.
  case driverReady
  /// The driver is to be killed, and ``BrokerCommand/driverGone`` said.
  case driverLost(DriverLoss)
  case driverFailed(code: FailureCode, errno: UInt16, deviceStatus: UInt32, detail: String)
  /// The driver has shut its device down, as asked.
  case driverStopped
  /// After ``BrokerCommand/driverGone``: the device is reset, the old arena unmapped. A driver can be attached.
  case quiesced
  /// `count` more violations of one kind since the last report.
  case violation(Violation, count: UInt32, detail: String)
  /// Of one kind of requests to a block device; all kinds come before the ``counters(_:)`` that end a report.
  case latency(LatencyHistogram)
  case counters(BrokerCounters)
  /// The broker cannot go on, and leaves.
  case failed(code: String, step: String, errno: Int32, hint: String)
  /// Everything is closed; the broker leaves.
  case down

  public enum Kind: UInt16, CaseIterable, Sendable {
    case configured = 0x300
    case driverHello, unit, driverReady, driverLost, driverFailed, driverStopped, quiesced, violation, counters, failed
    case down, networkPort, networkLink, networkApplied, networkStatistics, latency
  }

  public var kind: Kind {
    switch self {
    case .configured: .configured
    case .driverHello: .driverHello
    case .unit: .unit
    case .networkPort: .networkPort
    case .networkLink: .networkLink
    case .networkApplied: .networkApplied
    case .networkStatistics: .networkStatistics
    case .driverReady: .driverReady
    case .driverLost: .driverLost
    case .driverFailed: .driverFailed
    case .driverStopped: .driverStopped
    case .quiesced: .quiesced
    case .violation: .violation
    case .latency: .latency
    case .counters: .counters
    case .failed: .failed
    case .down: .down
    }
  }

  public func encodePayload(into writer: inout WireWriter) {
    switch self {
    case .configured, .driverReady, .driverStopped, .quiesced, .down: break
    case .driverHello(let name, let version):
      writer.put(name, limit: 32)
      writer.put(version, limit: 32)
    case .unit(let unit, let flags):
      unit.encode(into: &writer)
      writer.put(flags)
    case .networkPort(let port): port.encode(into: &writer)
    case .networkLink(let link): link.encode(into: &writer)
    case .networkApplied(let sequence, let errno):
      writer.put(sequence)
      writer.put(errno)
    case .networkStatistics(let statistics): statistics.encode(into: &writer)
    case .driverLost(let loss): writer.put(loss.rawValue)
    case .driverFailed(let code, let errno, let deviceStatus, let detail):
      writer.put(code.rawValue)
      writer.put(errno)
      writer.put(deviceStatus)
      writer.put(detail, limit: 200)
    case .violation(let violation, let count, let detail):
      writer.put(violation.rawValue)
      writer.put(count)
      writer.put(detail, limit: 200)
    case .latency(let histogram): histogram.encode(into: &writer)
    case .counters(let counters): counters.encode(into: &writer)
    case .failed(let code, let step, let errno, let hint):
      writer.put(code, limit: 48)
      writer.put(step, limit: 180)
      writer.put(errno)
      writer.put(hint, limit: 220)
    }
  }

  public static func decode(_ kind: Kind, from reader: inout WireReader) throws(WireError) -> BrokerEvent {
    switch kind {
    case .configured: return .configured
    case .driverHello:
      return .driverHello(
        name: try reader.text(limit: 32, "driver name"), version: try reader.text(limit: 32, "driver version"))
    case .unit: return .unit(try BlockUnit(from: &reader), transmissionFlags: try reader.get("transmission flags"))
    case .networkPort: return .networkPort(try NetworkPort(from: &reader))
    case .networkLink: return .networkLink(try NetworkLink(from: &reader))
    case .networkApplied:
      return .networkApplied(sequence: try reader.get("applied sequence"), errno: try reader.get("applied errno"))
    case .networkStatistics: return .networkStatistics(try NetworkStatistics(from: &reader))
    case .driverReady: return .driverReady
    case .driverLost:
      guard let loss = DriverLoss(rawValue: try reader.get("loss")) else { throw .invalidValue("loss") }
      return .driverLost(loss)
    case .driverFailed:
      guard let code = FailureCode(rawValue: try reader.get("failure code")) else {
        throw .invalidValue("failure code")
      }
      return .driverFailed(
        code: code, errno: try reader.get("failure errno"), deviceStatus: try reader.get("failure status"),
        detail: try reader.text(limit: 200, "failure detail"))
    case .driverStopped: return .driverStopped
    case .quiesced: return .quiesced
    case .violation:
      guard let violation = Violation(rawValue: try reader.get("violation")) else { throw .invalidValue("violation") }
      return .violation(
        violation, count: try reader.get("violation count"), detail: try reader.text(limit: 200, "violation detail"))
    case .latency: return .latency(try LatencyHistogram(from: &reader))
    case .counters: return .counters(try BrokerCounters(from: &reader))
    case .failed:
      return .failed(
        code: try reader.text(limit: 48, "code"), step: try reader.text(limit: 180, "step"),
        errno: try reader.get("errno"), hint: try reader.text(limit: 220, "hint"))
    case .down: return .down
    }
  }
}
