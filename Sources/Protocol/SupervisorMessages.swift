import Platform

/// What the supervisor tells a broker. Both are trusted; the encoding is the same as towards drivers.
public enum BrokerCommand: ControlMessage {
  /// First message. Files: the listening socket of the outlet, if there is one.
  case configure(BrokerConfiguration)
  /// A driver is to be started; the envelope's generation is its number. Files: the broker's end of its control socket.
  case attachDriver
  /// The driver's process is gone, for sure.
  case driverGone
  /// Ask the driver to shut its device down.
  case stopDriver
  /// Send ``BrokerEvent/counters(_:)``.
  case report
  /// Close the outlets, put the device at rest and leave.
  case shutdown

  public enum Kind: UInt16, CaseIterable, Sendable {
    case configure = 0x200
    case attachDriver, driverGone, stopDriver, report, shutdown
  }

  public var kind: Kind {
    switch self {
    case .configure: .configure
    case .attachDriver: .attachDriver
    case .driverGone: .driverGone
    case .stopDriver: .stopDriver
    case .report: .report
    case .shutdown: .shutdown
    }
  }

  public func encodePayload(into writer: inout WireWriter) {
    if case .configure(let configuration) = self { configuration.encode(into: &writer) }
  }

  public static func decode(_ kind: Kind, from reader: inout WireReader) throws(WireError) -> BrokerCommand {
    switch kind {
    case .configure: .configure(try BrokerConfiguration(from: &reader))
    case .attachDriver: .attachDriver
    case .driverGone: .driverGone
    case .stopDriver: .stopDriver
    case .report: .report
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
  public var wakeups: UInt64 = 0
  public var interrupts: UInt64 = 0

  public init() {}

  private static let sixtyFourBit: [WritableKeyPath<BrokerCounters, UInt64> & Sendable] = [
    \.reads, \.writes, \.flushes, \.discards, \.bytesRead, \.bytesWritten, \.errors, \.replayed, \.wakeups,
    \.interrupts,
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
  case counters(BrokerCounters)
  /// The broker cannot go on, and leaves.
  case failed(code: String, step: String, errno: Int32, hint: String)
  /// Everything is closed; the broker leaves.
  case down

  public enum Kind: UInt16, CaseIterable, Sendable {
    case configured = 0x300
    case driverHello, unit, driverReady, driverLost, driverFailed, driverStopped, quiesced, violation, counters, failed
    case down
  }

  public var kind: Kind {
    switch self {
    case .configured: .configured
    case .driverHello: .driverHello
    case .unit: .unit
    case .driverReady: .driverReady
    case .driverLost: .driverLost
    case .driverFailed: .driverFailed
    case .driverStopped: .driverStopped
    case .quiesced: .quiesced
    case .violation: .violation
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
    case .counters: return .counters(try BrokerCounters(from: &reader))
    case .failed:
      return .failed(
        code: try reader.text(limit: 48, "code"), step: try reader.text(limit: 180, "step"),
        errno: try reader.get("errno"), hint: try reader.text(limit: 220, "hint"))
    case .down: return .down
    }
  }
}
