import Broker
import CBulkhead
import Glibc
import Jail
import Platform
import Protocol
import Virtqueue

/// The block class: requests of NBD clients go to a driver as virtio-blk requests, and survive it.
///
/// Outlets are the kernel's NBD client, on socket pairs whose other ends go to the supervisor, and any NBD client on the
/// listening socket. They open when the first driver serves, and stay open until the broker leaves.
public final class NBDProxy: Proxy {
  /// Clients of the listening socket at one time.
  static let clients = 32

  public let queueLayout: SlottedQueueLayout
  private let configuration: BrokerConfiguration
  private let loop: EventLoop
  private let listener: Int32?
  let dispatcher: Dispatcher
  let server: NBDServer
  private var units = UnitTable()
  private weak var host: (any ProxyHost)?
  private var areOutletsOpen = false
  private var callTokens: [EventLoop.Token] = []
  private var spin: AdaptiveSpin
  /// Whether the driver was asked to call, because the loop is about to sleep.
  private var isArmed = false

  /// - Throws: `broker-payload` when payload memory is too small.
  public init(_ context: ProxyContext) throws(Failure) {
    configuration = context.configuration
    loop = context.loop
    listener = context.listener
    // An emulated device lives on the same loop, and gets nothing done while this one looks on.
    let isEmulated = !configuration.emulation.isEmpty
    spin = AdaptiveSpin(limit: isEmulated ? 0 : Nanoseconds(configuration.spinMicroseconds) * 1000)
    let queueSize = Int(configuration.queueSize)
    queueLayout = SlottedQueueLayout(
      queueSize: queueSize, slots: BlockClass.slots(queueSize: queueSize), slotSize: BlockClass.slotSize)
    guard context.payload.count >= 1 << 20 else {
      throw Failure("broker-payload", "use \(context.payload.count) bytes of payload memory", hint: "at least 1 MiB")
    }
    let connections = Int(configuration.unitLimit) * Int(configuration.kernelConnections) + Self.clients
    dispatcher = Dispatcher(
      layout: queueLayout, queues: Int(configuration.queues),
      requests: connections * Int(NBDServer.requestsPerConnection), payloadSize: context.payload.count)
    server = NBDServer(
      loop: loop, dispatcher: dispatcher, payload: context.payload, connections: connections,
      heartbeatMilliseconds: configuration.heartbeatInterval)
  }

  public func attach(to host: any ProxyHost) {
    self.host = host
    dispatcher.attach(to: host)
  }

  // MARK: Drivers

  public func driverAttached() { units.begin() }

  public func driverSays(_ message: DriverMessage) throws(ProxyRefusal) {
    guard case .blockUnit(let unit) = message else {
      throw ProxyRefusal(.illegalTransition, "\(message.kind) from a driver of the block class")
    }
    try units.announce(unit)
  }

  public func driverReady() throws(ProxyRefusal) { try units.complete() }

  public var rules: [SeccompRule] {
    [
      SeccompRule("recvfrom", [.equals(4, 0, "no address")], because: "takes the negotiation of clients"),
      SeccompRule(
        "accept4", [.equals(3, UInt64(0o2004000), "flags NONBLOCK, CLOEXEC")], because: "takes a client of the outlet"),
      SeccompRule(
        "socketpair", [.equals(0, 1, "AF_UNIX")],
        because: "connections for the kernel's NBD client; no other address family"),
    ]
  }

  public func driverServes(_ queues: DriverQueues) throws(Failure) {
    for unit in units.current.prefix(Int(configuration.unitLimit)) {
      dispatcher.setUnit(Int(unit.index), UnitLimits(unit))
      let export = Export(unit, readOnly: configuration.readOnly, maximumPayload: server.maximumPayload)
      server.setExport(export, of: unit)
    }
    for call in queues.calls {
      callTokens.append(loop.watch(call) { _ in EventDescriptor.drain(call) })
    }
    dispatcher.start(queues)
    isArmed = false
    if !areOutletsOpen { try openOutlets() }
  }

  public func driverStopping() { dispatcher.pause() }

  public func driverGone() {
    dispatcher.stop()
    callTokens.forEach(loop.remove)
    callTokens = []
  }

  public func deviceForgot() { dispatcher.deviceForgot() }

  private func openOutlets() throws(Failure) {
    areOutletsOpen = true
    for export in server.exports {
      let files = try kernelConnections(export)
      host?.tellSupervisor(
        .unit(units.current[export.unit], transmissionFlags: export.flags.rawValue), files: files)
    }
    if let listener { server.listen(listener) }
    Log.info("\(server.exports.count) units, at most \(server.maximumPayload) bytes a request")
  }

  /// Socket pairs for the kernel's NBD client. Returns the kernel's ends.
  private func kernelConnections(_ export: Export) throws(Failure) -> [Int32] {
    var files: [Int32] = []
    for _ in 0..<configuration.kernelConnections {
      var ends: (Int32, Int32) = (-1, -1)
      let result = withUnsafeMutablePointer(to: &ends) {
        $0.withMemoryRebound(to: Int32.self, capacity: 2) { bh_stream_pair($0) }
      }
      do throws(Failure) {
        try checked(result, "broker-outlet", "make a connection for the kernel's block device")
      } catch {
        files.forEach(Descriptor.close)
        throw error
      }
      guard server.addTransmission(ends.0, unit: export.unit, isKernel: true) else {
        preconditionFailure("the table of connections has room for the kernel's")
      }
      files.append(ends.1)
    }
    return files
  }

  // MARK: Work

  /// Works until there is nothing left to do: completions, replies, clients that waited, new requests. Then looks on for a
  /// while if a completion is to be expected, or asks the driver to call, looks once more, and says that the loop may sleep.
  public func poll() -> Bool {
    var rounds = 0
    while true {
      if work() {
        spin.found()
        rounds += 1
        // The sockets must have their turn, however busy the driver is.
        if rounds == Self.roundsPerTurn { return true }
      } else if dispatcher.slots.isInFlight, spin.looksOn() {
        disarm()
      } else {
        spin.rest()
        isArmed = true
        guard dispatcher.enableCalls() else { return false }
      }
    }
  }

  private static let roundsPerTurn = 16

  private func work() -> Bool {
    var worked = dispatcher.collect()
    worked = server.reply() || worked
    worked = server.resume() || worked
    worked = dispatcher.issue() || worked
    // What comes next comes later: the loop looks on or sleeps, or completions were waited for while this round was busy.
    dispatcher.latencies.endBatch()
    return worked
  }

  /// While the loop polls, the driver need not call.
  private func disarm() {
    guard isArmed else { return }
    isArmed = false
    dispatcher.disableCalls()
  }

  public func tick() { server.tick() }

  public func shutdown() { server.shutdown() }

  public var latencies: [LatencyHistogram] { dispatcher.latencies.histograms }

  public func addCounters(to counters: inout BrokerCounters) {
    let own = dispatcher.counters
    counters.reads += own.reads
    counters.writes += own.writes
    counters.flushes += own.flushes
    counters.discards += own.discards
    counters.bytesRead += own.bytesRead
    counters.bytesWritten += own.bytesWritten
    counters.errors += own.errors
    counters.replayed += own.replayed
    counters.inFlight += UInt32(dispatcher.slots.inFlight)
    counters.clients += UInt32(server.connections.count)
  }
}
