/// Feature bits: virtio 1.2 section 5.1.3 for the network device, section 6 for all of them.
struct Features: OptionSet, Sendable {
  let rawValue: UInt64

  /// VIRTIO_NET_F_CSUM: the device fills in checksums of frames that it sends.
  static let checksum = Features(rawValue: 1 << 0)
  /// VIRTIO_NET_F_GUEST_CSUM: frames that came may have partial or verified checksums.
  static let guestChecksum = Features(rawValue: 1 << 1)
  /// VIRTIO_NET_F_MTU: the device says what its MTU is.
  static let mtu = Features(rawValue: 1 << 3)
  /// VIRTIO_NET_F_MAC: the device has an address.
  static let address = Features(rawValue: 1 << 5)
  /// VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_ECN: the device cuts TCP segments to size, those
  /// with a CWR flag as well.
  static let hostTSO4 = Features(rawValue: 1 << 11)
  static let hostTSO6 = Features(rawValue: 1 << 12)
  static let hostECN = Features(rawValue: 1 << 13)
  /// VIRTIO_NET_F_STATUS: the device says whether the link is up.
  static let status = Features(rawValue: 1 << 16)
  /// VIRTIO_NET_F_CTRL_VQ: there is a control queue.
  static let controlQueue = Features(rawValue: 1 << 17)
  /// VIRTIO_NET_F_CTRL_RX: it takes filters.
  static let controlReceive = Features(rawValue: 1 << 18)
  /// VIRTIO_NET_F_CTRL_MAC_ADDR: it takes an address.
  static let controlAddress = Features(rawValue: 1 << 23)
  /// VIRTIO_NET_F_SPEED_DUPLEX: the device says how fast its link is.
  static let speed = Features(rawValue: 1 << 63)

  /// VIRTIO_F_EVENT_IDX: each side says which entry it wants to hear of.
  static let eventIndex = Features(rawValue: 1 << 29)
  /// VIRTIO_F_VERSION_1: the device keeps to the specification, and is no legacy device.
  static let version1 = Features(rawValue: 1 << 32)
  /// VIRTIO_F_ACCESS_PLATFORM: the device's addresses are those of the IOMMU.
  static let accessPlatform = Features(rawValue: 1 << 33)
  /// VIRTIO_F_ORDER_PLATFORM: memory is ordered as for any device, and not as for another processor.
  static let orderPlatform = Features(rawValue: 1 << 36)

  static let required: Features = [.version1, .accessPlatform, .address]

  private static var optional: Features {
    var features: Features = [
      .checksum, .guestChecksum, .mtu, .hostTSO4, .hostTSO6, .hostECN, .status, .controlQueue, .controlReceive,
      .controlAddress, .speed, .eventIndex,
    ]
    #if arch(x86_64)
      // Stores are seen in order by devices, too; elsewhere the rings would need other barriers.
      features.insert(.orderPlatform)
    #endif
    return features
  }

  /// What the driver takes of what a device offers, with the rules of virtio 1.2 section 5.1.3.1.
  /// - Parameters:
  ///   - checksums: whether checksums are left to the device.
  ///   - segments: whether segmentation is, too.
  static func choose(from offered: Features, checksums: Bool, segments: Bool) -> Features {
    var chosen = offered.intersection(required.union(optional))
    if !checksums { chosen.subtract([.checksum, .guestChecksum]) }
    if !segments || !chosen.contains(.checksum) { chosen.subtract([.hostTSO4, .hostTSO6]) }
    if chosen.isDisjoint(with: [.hostTSO4, .hostTSO6]) { chosen.remove(.hostECN) }
    if !chosen.contains(.controlQueue) { chosen.subtract([.controlReceive, .controlAddress]) }
    return chosen
  }
}
