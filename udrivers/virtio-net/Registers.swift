/// `struct virtio_pci_common_cfg`, virtio 1.2 section 4.1.4.3: bytes from the beginning of the structure.
enum CommonRegister {
  static let deviceFeatureSelect = 0x00
  static let deviceFeature = 0x04
  static let driverFeatureSelect = 0x08
  static let driverFeature = 0x0C
  static let configVector = 0x10
  static let queueCount = 0x12
  static let status = 0x14
  static let generation = 0x15
  static let queueSelect = 0x16
  static let queueSize = 0x18
  static let queueVector = 0x1A
  static let queueEnable = 0x1C
  static let queueNotifyOffset = 0x1E
  static let queueDescriptors = 0x20
  static let queueDriver = 0x28
  static let queueDevice = 0x30
  /// Bytes up to here; what follows depends on features that are not taken.
  static let length = 0x38

  /// VIRTIO_MSI_NO_VECTOR, section 4.1.5.1.2.
  static let noVector: UInt16 = 0xFFFF
}

/// `struct virtio_net_config`, virtio 1.2 section 5.1.4: bytes from the beginning of the structure.
enum NetworkRegister {
  static let address = 0x00
  /// With VIRTIO_NET_F_STATUS.
  static let status = 0x06
  /// With VIRTIO_NET_F_MTU.
  static let mtu = 0x0A
  /// With VIRTIO_NET_F_SPEED_DUPLEX: megabits a second, all ones where that is not known.
  static let speed = 0x0C
  static let duplex = 0x10

  /// VIRTIO_NET_S_LINK_UP.
  static let linkUp: UInt16 = 1
  static let halfDuplex: UInt8 = 0
  static let fastest: UInt32 = 0x7FFF_FFFF
}

/// Device status: virtio 1.2 section 2.1.
struct DeviceStatus: OptionSet, Sendable {
  let rawValue: UInt8

  static let acknowledge = DeviceStatus(rawValue: 1)
  static let driver = DeviceStatus(rawValue: 2)
  static let driverOK = DeviceStatus(rawValue: 4)
  static let featuresOK = DeviceStatus(rawValue: 8)
  static let needsReset = DeviceStatus(rawValue: 64)
  static let failed = DeviceStatus(rawValue: 128)

  /// No device says all of it.
  var isGone: Bool { rawValue == 0xFF }
}

/// `cfg_type` of a capability: virtio 1.2 section 4.1.4.
enum StructureKind: UInt8, CaseIterable, Sendable {
  case common = 1
  case notify = 2
  case device = 4
}
