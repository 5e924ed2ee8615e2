import Control
import PCI

/// What an entry of the configuration was found to mean.
public enum Hardware: Equatable, Sendable {
  /// A PCI function of this machine.
  case function(PCIDevice)
  case emulated(EmulatedDevice)

  public var address: PCIAddress {
    switch self {
    case .function(let device): device.address
    case .emulated(let device): device.address
    }
  }

  public var identity: DeviceIdentity {
    switch self {
    case .function(let device): DeviceIdentity(device)
    case .emulated(let device): device.identity
    }
  }

  /// `0000:01:00.0 Red Hat, Inc. QEMU NVM Express Controller [1b36:0010]`
  var summary: String {
    switch self {
    case .function(let device): device.summary
    case .emulated(let device): "\(device.address) \(identity.words)"
    }
  }
}

/// The numbers by which a driver knows its device, with their names.
public struct DeviceIdentity: Equatable, Sendable {
  public var vendorID: UInt16
  public var deviceID: UInt16
  /// 24 bits: `0x010802` is NVMe.
  public var classCode: UInt32
  public var vendorName: String
  public var deviceName: String
  public var className: String

  var words: String { "\(vendorName) \(deviceName) [\(hexadecimal(vendorID)):\(hexadecimal(deviceID))]" }
}

extension DeviceIdentity {
  init(_ device: PCIDevice) {
    self.init(
      vendorID: device.vendorID, deviceID: device.deviceID, classCode: device.classCode,
      vendorName: device.vendorName, deviceName: device.deviceName, className: device.className)
  }
}
