import Control
import PCI
import Platform
import Protocol

/// Where the rest of the machine uses a device. The class of the device's driver decides which kind a session has.
///
/// It is made when the device is taken, stays while drivers and brokers come and go, and is removed when the device is
/// given back.
protocol DeviceOutlet: AnyObject {
  var deviceClass: DeviceClass { get }

  /// Looks, before anything is done to the device, whether the outlet can be had.
  /// - Returns: what forbids it; empty if nothing does.
  func claim() throws(Failure) -> [Refusal]
  /// Makes it, or takes up what an earlier supervisor has left. Does nothing where it is open.
  func open() throws(Failure)
  /// The device is about to stop: nobody is to wait for it any more.
  func close()
  /// Removes everything. Safe where there is nothing.
  func remove()

  /// Fills in what a broker has to know of the class, and opens what only this broker gets.
  func complete(_ configuration: inout BrokerConfiguration) throws(Failure)
  /// Files that travel with the configuration that was completed last.
  var brokerFiles: [Int32] { get }
  /// The broker has its files, or will never have them.
  func brokerStarted()
  func brokerConfigured()
  func brokerEnded()
  func driverEnded()
  /// The device is at rest, and the broker has let go of the last driver.
  func quiesced()
  /// The device serves.
  func announce()
  /// What a broker says of the class. The files are closed afterwards.
  func take(_ event: BrokerEvent, _ files: [Int32])

  /// Who uses it in a way that suffers when the device stops.
  func uses() -> [String]
  /// Whether something is still to come that belongs to a report; see ``BrokerCommand/report``.
  var awaitsReport: Bool { get set }
  /// As the service shows it, looked at anew; nil while there is none.
  func description() -> Outlet?
}

extension DeviceSession {
  /// The class of the driver that the device is to have.
  var deviceClass: DeviceClass { assignment?.driver?.manifest.deviceClass ?? .block }

  /// The outlet of the driver's class. One of another class, which an earlier supervisor has left, is removed.
  func chooseOutlet() -> any DeviceOutlet {
    if let outlet, outlet.deviceClass == deviceClass { return outlet }
    outlet?.remove()
    let new: any DeviceOutlet = deviceClass == .network ? NetworkOutlet(of: self) : BlockOutlet(of: self)
    outlet = new
    return new
  }

  /// What the record of an earlier supervisor says is there already.
  func adoptOutlet() {
    if record.interface != nil {
      outlet = NetworkOutlet(of: self)
    } else if !record.units.isEmpty {
      outlet = BlockOutlet(of: self)
    }
  }

  /// Whether an earlier supervisor has left something of the device in our hands.
  var isLeftTaken: Bool { source.isLeftTaken || record.interface != nil || host.files.holds(address) }
}
