import Jail
import Platform
import Protocol
import VFIO

/// A device as its broker opened it, with what the broker has to know of its kind.
public struct BrokerDevice {
  public var backing: any DeviceBacking
  /// How often its vectors have interrupted; nil: not known, and storms go unnoticed.
  public var interrupts: (any InterruptCounts)?
  /// What the broker may ask of the kernel for this device's sake, once it is confined.
  public var rules: [SeccompRule]
  /// Called once, when everything is made and before the broker is confined.
  public var settle: () throws(Failure) -> Void

  public init(
    _ backing: any DeviceBacking, interrupts: (any InterruptCounts)?, rules: [SeccompRule],
    settle: @escaping () throws(Failure) -> Void = {}
  ) {
    self.backing = backing
    self.interrupts = interrupts
    self.rules = rules
    self.settle = settle
  }
}

/// What a device is opened from.
public struct BrokerDeviceContext {
  public var configuration: BrokerConfiguration
  public var loop: EventLoop
  /// The medium of an emulated device, which the opener owns.
  public var medium: Int32?
}

/// Counts the interrupts of a device.
public protocol InterruptCounts: AnyObject {
  /// How often each vector has interrupted; valid until the next call.
  func read() -> [UInt64]
}
