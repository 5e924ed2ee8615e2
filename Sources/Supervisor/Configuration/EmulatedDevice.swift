import Emulation
import PCI
import Platform
import Protocol
import TAP

/// A device that exists in its broker only: the key `emulated` of an entry, or `--emulated`.
public struct EmulatedDevice: Equatable, Sendable {
  public var options: EmulationOptions
  /// Made up, for a device has one: `ffff:00:00.0`, `ffff:01:00.0`, ... Linux numbers no segment of its own so.
  public private(set) var address = EmulatedDevice.address(0)

  /// So many can be numbered.
  static let maximumCount = 256

  /// Reads `nvme,file=disk.img,size=64M` or `e1000e,wire=bhw0` (``EmulationOptions/init(parsing:)``).
  /// - Parameter folder: what a relative path of the file is relative to; nil: the working directory.
  /// - Throws: `emulation-option`; `interface-name` for a wire that cannot be called so.
  public init(parsing text: String, relativeTo folder: String? = nil) throws(Failure) {
    options = try EmulationOptions(parsing: text)
    if let name = options.name, !DeviceEntry.isName(name) {
      throw Failure(
        "emulation-option", "read `name=\(name)`",
        hint: "name is lower-case letters, digits and hyphens, at most 32, beginning with a letter")
    }
    if let wire = options.wire { _ = try InterfaceName(wire) }
    guard options.textWithoutFile.utf8.count <= BrokerConfiguration.emulationLimit else {
      throw Failure(
        "emulation-option", "read `\(text)`",
        hint: "without the file it may have \(BrokerConfiguration.emulationLimit) bytes")
    }
    if let folder, let file = options.file, !file.hasPrefix("/") { options.file = "\(folder)/\(file)" }
  }

  /// The address of the device that has the number.
  static func address(_ number: Int) -> PCIAddress {
    PCIAddress(domain: 0xffff, bus: UInt8(truncatingIfNeeded: number), device: 0, function: 0)!
  }

  mutating func place(at address: PCIAddress) {
    self.address = address
    options.address = "\(address)"
  }

  var identity: DeviceIdentity {
    switch options.model {
    // Red Hat's ids for the controller that QEMU emulates; the guests of both use the same drivers.
    case .nvme:
      DeviceIdentity(
        vendorID: 0x1b36, deviceID: 0x0010, classCode: 0x01_0802, vendorName: "Bulkhead",
        deviceName: "Emulated NVM Express Controller", className: "Non-Volatile memory controller")
    case .e1000e:
      DeviceIdentity(
        vendorID: 0x8086, deviceID: 0x10d3, classCode: 0x02_0000, vendorName: "Bulkhead",
        deviceName: "Emulated 82574L Gigabit Network Controller", className: "Ethernet controller")
    }
  }
}
