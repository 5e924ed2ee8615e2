import Jail
import Platform
import Protocol
import Virtqueue

/// A broker's half of a device class: it owns the outlets and the requests that are on their way.
///
/// Everything here is called when something changes, not for each request; a proxy's own data path needs no call across
/// this seam but ``poll()``, once for each turn of the loop.
public protocol Proxy: AnyObject {
  /// What one queue of the class looks like in the memory of the rings.
  var queueLayout: SlottedQueueLayout { get }

  /// What the class may ask of the kernel once the broker is confined, beyond what every broker may.
  var rules: [SeccompRule] { get }

  /// Whether what a driver says while it serves is to be heard at once, and not with the next heartbeat.
  var hearsDriverAtOnce: Bool { get }

  /// Called once, before anything else: whom to tell.
  func attach(to host: any ProxyHost)

  /// A new driver was given its memory; it will announce its units anew.
  func driverAttached()

  /// The driver says something that belongs to its class: a unit, a port, a link.
  /// - Throws: ``ProxyRefusal`` when it contradicts itself or an earlier driver, or is of another class. The driver is lost
  ///   then.
  func driverSays(_ message: DriverMessage) throws(ProxyRefusal)

  /// The driver is ready, and will be told to start.
  /// - Throws: ``ProxyRefusal`` when something that an outlet needs was not announced. The driver is lost then.
  func driverReady() throws(ProxyRefusal)

  /// The driver was told to start. What earlier drivers have left undone is given to this one.
  func driverServes(_ queues: DriverQueues) throws(Failure)

  /// Give the driver nothing more; what it has may still complete.
  func driverStopping()

  /// The memory of the queues goes away, and the driver can no longer be believed anything. May be called twice.
  func driverGone()

  /// The device lost its power, and with it whatever it had not yet made durable. Called after ``driverGone()``.
  func deviceForgot()

  /// Closes the outlets. What is not done is answered with an error.
  func shutdown()

  /// The supervisor has changed what the outlet is to be.
  func supervisorSays(_ settings: NetworkSettings)

  /// Adds what the proxy has counted, for the supervisor that asked; what it has to ask the driver for, it tells later.
  func addCounters(to counters: inout BrokerCounters)

  /// What the proxy has measured of requests; empty where its class has none.
  var latencies: [LatencyHistogram] { get }

  /// Looks for work. False: there was none, and whatever comes next wakes the loop.
  func poll() -> Bool

  /// Called with each heartbeat.
  func tick()
}

extension Proxy {
  /// Most devices keep nothing.
  public func deviceForgot() {}
  public func supervisorSays(_: NetworkSettings) {}
  public var hearsDriverAtOnce: Bool { false }
  public var latencies: [LatencyHistogram] { [] }
}

/// Why a driver's word is not accepted.
public struct ProxyRefusal: Error, Equatable, Sendable {
  public var violation: Violation
  public var detail: String

  public init(_ violation: Violation, _ detail: String) {
    self.violation = violation
    self.detail = detail
  }
}

/// What a proxy tells its broker.
public protocol ProxyHost: AnyObject {
  /// Tells the supervisor something that belongs to the class. `files` go with it; the host closes them here.
  func tellSupervisor(_ event: BrokerEvent, files: [Int32])

  /// Tells the driver something that belongs to the class.
  /// - Returns: false where there is no driver, the conversation does not permit it now, or the driver does not read.
  func tellDriver(_ message: BrokerMessage) -> Bool

  /// The driver or its device did what it must not do; the supervisor decides what follows.
  func violated(_ violation: Violation, _ detail: String)

  /// The same, and nothing that this driver says can be used any more.
  func distrustDriver(_ violation: Violation, _ detail: String)
}

/// The queues that broker and driver share, as the broker sees them.
public struct DriverQueues {
  /// Queue q begins at `base + q * layout.stride`, for the driver at ``AddressMap/rings`` plus the same offset.
  public var base: UnsafeMutableRawPointer
  public var layout: SlottedQueueLayout
  public var count: Int
  /// `kicks[q]` wakes the driver, `calls[q]` wakes the broker: eventfds, owned by the broker's session.
  public var kicks: [Int32]
  public var calls: [Int32]
  /// The driver's own DMA memory as the broker sees it; for the device it is at ``AddressMap/arena``.
  public var arena: UnsafeMutableRawBufferPointer

  public init(
    base: UnsafeMutableRawPointer, layout: SlottedQueueLayout, count: Int, kicks: [Int32], calls: [Int32],
    arena: UnsafeMutableRawBufferPointer
  ) {
    precondition(kicks.count == count && calls.count == count, "each queue has a kick and a call")
    self.arena = arena
    self.base = base
    self.layout = layout
    self.count = count
    self.kicks = kicks
    self.calls = calls
  }
}

/// What a proxy is made from.
public struct ProxyContext {
  public var configuration: BrokerConfiguration
  public var loop: EventLoop
  /// Payload memory as the broker sees it; the device sees it at ``AddressMap/payload``.
  public var payload: UnsafeMutableRawBufferPointer
  /// The listening socket of the outlet, or nil.
  public var listener: Int32?
  /// The files of a network outlet (``NetworkOutletConfiguration/fileCount``), which the proxy owns.
  public var outlet: [Int32]

  public init(
    configuration: BrokerConfiguration, loop: EventLoop, payload: UnsafeMutableRawBufferPointer, listener: Int32?,
    outlet: [Int32] = []
  ) {
    self.outlet = outlet
    self.configuration = configuration
    self.loop = loop
    self.payload = payload
    self.listener = listener
  }
}
