/// Feature bits of a virtio network device (virtio 1.2 sections 5.1.3 and 6). The driver plays the guest.
public struct VirtioNetFeatures: OptionSet, Sendable, Hashable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The driver can be given frames without checksum.
  public static let guestChecksum = VirtioNetFeatures(rawValue: 1 << 1)
  public static let guestTSO4 = VirtioNetFeatures(rawValue: 1 << 7)
  public static let guestTSO6 = VirtioNetFeatures(rawValue: 1 << 8)
  public static let guestECN = VirtioNetFeatures(rawValue: 1 << 9)
  /// A received frame may fill several buffers.
  public static let mergeableBuffers = VirtioNetFeatures(rawValue: 1 << 15)
  public static let guestUSO4 = VirtioNetFeatures(rawValue: 1 << 54)
  public static let guestUSO6 = VirtioNetFeatures(rawValue: 1 << 55)

  /// VHOST_F_LOG_ALL, of vhost only: writes are logged, for moving a guest.
  static let logAll = VirtioNetFeatures(rawValue: 1 << 26)
  /// VHOST_NET_F_VIRTIO_NET_HDR, of vhost only: it makes headers itself, for sockets that have none. A TAP has.
  static let vhostHeader = VirtioNetFeatures(rawValue: 1 << 27)
  /// Tables of descriptors. Not negotiated here.
  static let indirect = VirtioNetFeatures(rawValue: 1 << 28)
  /// Event-index suppression (virtio 1.2 section 2.7.10).
  public static let eventIndex = VirtioNetFeatures(rawValue: 1 << 29)
  /// virtio 1: the header has 12 bytes and is little-endian.
  public static let version1 = VirtioNetFeatures(rawValue: 1 << 32)
  /// VIRTIO_F_ACCESS_PLATFORM: addresses go through an IOTLB that this process would have to serve.
  static let accessPlatform = VirtioNetFeatures(rawValue: 1 << 33)

  /// Those that concern the rings and the header's place. Offloads are the TAP's business.
  static let transport: VirtioNetFeatures = [.mergeableBuffers, .eventIndex, .version1]
}

/// The header in front of each frame (virtio 1.2 section 5.1.6).
public enum VirtioNetHeader {
  /// Bytes, with `num_buffers`, as virtio 1 has it.
  public static let size = 12
}
