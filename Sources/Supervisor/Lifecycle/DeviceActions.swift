import PCI
import Platform

/// What came of preparing a device.
public enum PrepareOutcome: Sendable {
  case ready
  /// The device is as it was.
  case refused([Refusal])
  /// What was done has been undone.
  case failed(Failure)
}

/// What a device's life does to the world. The controller decides, this acts: the real one has processes, sysfs and
/// netlink behind it; tests have none.
public protocol DeviceActions: AnyObject {
  /// Checks, binds, and makes the control group and the socket; then, perhaps later, calls `done`.
  func prepare(_ done: @escaping (PrepareOutcome) -> Void)
  /// Gives the device back and removes everything that ``prepare(_:)`` made. Safe where there is nothing.
  /// - Parameters:
  ///   - isGone: the device is no longer there.
  ///   - done: called, perhaps later, with what went wrong.
  func release(isGone: Bool, _ done: @escaping (Failure?) -> Void)

  func startBroker() throws(Failure)
  func askBrokerToStop()
  func killBroker()

  func startDriver(generation: UInt32) throws(Failure)
  func askDriverToStop(generation: UInt32)
  func killDriver()
  /// Tells the broker that the driver's process is gone for sure.
  func reportDriverGone(generation: UInt32)

  /// Disconnects the kernel's block devices.
  func closeOutlet()

  /// Sends the `deadline` event after `delay`; replaces the former one. Nil: no deadline.
  func setDeadline(_ delay: Nanoseconds?)
  /// Monotonic.
  var now: Nanoseconds { get }

  func stateChanged(from: DeviceLifecycle.State, to: DeviceLifecycle.State, reason: String)
  /// An event that the machine does not permit: a bug of ours.
  func unexpected(_ event: DeviceLifecycle.Event, in state: DeviceLifecycle.State)
}
