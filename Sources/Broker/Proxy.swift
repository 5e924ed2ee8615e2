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

  /// Called once, before anything else: whom to tell.
  func attach(to host: any ProxyHost)

  /// A new driver was given its memory; it will announce its units anew.
  func driverAttached()

  /// The driver says that there is a unit.
  /// - Throws: ``ProxyRefusal`` when it contradicts itself or an earlier driver. The driver is lost then.
  func unitAnnounced(_ unit: BlockUnit) throws(ProxyRefusal)

  /// The driver is ready, and will be told to start.
  /// - Throws: ``ProxyRefusal`` when something that an outlet needs was not announced. The driver is lost then.
  func unitsComplete() throws(ProxyRefusal)

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

  /// Adds what the proxy has counted.
  func addCounters(to counters: inout BrokerCounters)

  /// Looks for work. False: there was none, and whatever comes next wakes the loop.
  func poll() -> Bool

  /// Called with each heartbeat.
  func tick()
}

extension Proxy {
  /// Most devices keep nothing.
  public func deviceForgot() {}
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
  /// A unit has an outlet. `files` go to the supervisor; the host closes them here.
  func outletOpened(_ unit: BlockUnit, transmissionFlags: UInt16, files: [Int32])

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

  public init(base: UnsafeMutableRawPointer, layout: SlottedQueueLayout, count: Int, kicks: [Int32], calls: [Int32]) {
    precondition(kicks.count == count && calls.count == count, "each queue has a kick and a call")
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

  public init(
    configuration: BrokerConfiguration, loop: EventLoop, payload: UnsafeMutableRawBufferPointer, listener: Int32?
  ) {
    self.configuration = configuration
    self.loop = loop
    self.payload = payload
    self.listener = listener
  }
}
