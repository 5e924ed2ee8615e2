import Control
import PCI
import Platform
import Protocol

/// Where a session's device comes from: what it takes to have it, and what its broker needs to know of it.
///
/// Everything else, the processes, the outlet and the life cycle, is ``DeviceSession``'s and the same for all devices.
protocol DeviceSource: AnyObject {
  /// Whether the device has been seen, or can be had at all.
  var isPresent: Bool { get }
  /// The IOMMU group, whose members share one owner.
  var iommuGroup: Int? { get }
  /// Whether the device was pulled out.
  var isGone: Bool { get }
  /// Whether an earlier supervisor has left it taken.
  var isLeftTaken: Bool { get }

  /// Takes up what the configuration means now; an emulated device follows at its next start.
  func update(_ hardware: Hardware)

  /// Looks at the device anew and makes sure that nobody else has it.
  /// - Returns: what forbids to take it; empty if nothing does.
  func claim() throws(Failure) -> [Refusal]
  /// Makes the device ready for a broker, and calls `done`, perhaps later: with what went wrong, or nil. What was done
  /// before a failure is undone by ``release(isGone:_:)``.
  func take(_ done: @escaping (Failure?) -> Void)
  /// Gives the device back. Safe where there is nothing to give back.
  /// - Parameters:
  ///   - isGone: the device is no longer there.
  ///   - done: called, perhaps later, with the first thing that went wrong; the rest is done all the same.
  func release(isGone: Bool, _ done: @escaping (Failure?) -> Void)

  /// The file name of the executable that can be its broker.
  var brokerName: String { get }
  /// Files that travel with the broker's configuration, behind the listener.
  var brokerFiles: [Int32] { get }
  /// Fills in what is particular to the device.
  func complete(_ configuration: inout BrokerConfiguration) throws(Failure)

  /// The device as the service shows it, without what the session knows.
  func description(state: String) -> Device
  /// What `check` says of it; nil: the machine has to be looked at.
  var isolation: IsolationCheck? { get }
}

extension Hardware {
  /// The source for a session of this hardware.
  func makeSource(of session: DeviceSession) -> any DeviceSource {
    switch self {
    case .function(let device): FunctionSource(of: session, device: device)
    case .emulated(let device): EmulatedSource(of: session, device: device)
    }
  }
}
