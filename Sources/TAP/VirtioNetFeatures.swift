import Protocol

/// Feature bits of a virtio network device (virtio 1.2 sections 5.1.3 and 6). The driver plays the guest.
///
/// ``NetworkPort/features`` are such bits: those that driver and outlet have in common, and that ``NetworkClass`` names.
public struct VirtioNetFeatures: OptionSet, Sendable, Hashable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The driver can be given frames without checksum.
  public static let guestChecksum = VirtioNetFeatures(rawValue: NetworkClass.featureGuestChecksum)
  public static let guestTSO4 = VirtioNetFeatures(rawValue: NetworkClass.featureGuestTSO4)
  public static let guestTSO6 = VirtioNetFeatures(rawValue: NetworkClass.featureGuestTSO6)
  public static let guestECN = VirtioNetFeatures(rawValue: NetworkClass.featureGuestECN)
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
  public static let eventIndex = VirtioNetFeatures(rawValue: NetworkClass.featureEventIndex)
  /// virtio 1: the header has 12 bytes and is little-endian.
  public static let version1 = VirtioNetFeatures(rawValue: NetworkClass.featureVersion1)
  /// VIRTIO_F_ACCESS_PLATFORM: addresses go through an IOTLB that this process would have to serve.
  static let accessPlatform = VirtioNetFeatures(rawValue: 1 << 33)

  /// Those that concern the rings and the header's place. Offloads are the TAP's business.
  static let transport: VirtioNetFeatures = [.mergeableBuffers, .eventIndex, .version1]
}
