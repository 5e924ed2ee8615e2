/// How a TAP file is attached to its interface (IFF_* of linux/if_tun.h).
public struct TAPFlags: OptionSet, Sendable, Hashable {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Ethernet frames.
  public static let tap = TAPFlags(rawValue: 0x0002)
  /// Frames from here go through the kernel's NAPI, so that it merges segments (GRO). Never asked for: a frame of several
  /// pieces keeps the TAP's socket as its owner there, and merged ones give back more than they took ("refcount_t:
  /// underflow; use-after-free" in sock_wfree, seen with Linux 6.1 and an honest driver).
  public static let napi = TAPFlags(rawValue: 0x0010)
  /// Comes up without carrier (Linux 6.0).
  public static let noCarrier = TAPFlags(rawValue: 0x0040)
  /// An interface may have several files, each of them a queue.
  public static let multiQueue = TAPFlags(rawValue: 0x0100)
  /// Only for TUNSETQUEUE.
  static let attachQueue = TAPFlags(rawValue: 0x0200)
  /// Only for TUNSETQUEUE.
  static let detachQueue = TAPFlags(rawValue: 0x0400)
  /// Stays when the last file is closed. Only told; ``TAPInterface/setPersistent(_:)`` sets it.
  public static let persistent = TAPFlags(rawValue: 0x0800)
  /// Frames without the four bytes of protocol information in front.
  public static let noPacketInformation = TAPFlags(rawValue: 0x1000)
  /// Each frame has a virtio-net header in front.
  public static let virtioHeader = TAPFlags(rawValue: 0x4000)
  /// Refuse an interface that exists already.
  public static let exclusive = TAPFlags(rawValue: 0x8000)

  /// Without these nothing works here.
  static let required: TAPFlags = [.tap, .noPacketInformation, .virtioHeader]
  /// Used where the kernel knows them.
  static let wished: TAPFlags = [.noCarrier, .multiQueue]
}

/// What the reader of a TAP can be given unfinished (TUN_F_* of linux/if_tun.h): the kernel leaves it to the NIC.
public struct TAPOffloads: OptionSet, Sendable, Hashable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Frames without checksum.
  public static let checksum = TAPOffloads(rawValue: 0x01)
  /// TCP segments of up to 64 KiB, over IPv4.
  public static let tso4 = TAPOffloads(rawValue: 0x02)
  /// The same over IPv6.
  public static let tso6 = TAPOffloads(rawValue: 0x04)
  /// Such segments also with ECN's CWR.
  public static let tsoECN = TAPOffloads(rawValue: 0x08)
  /// UDP segments (Linux 6.2); the kernel takes both or none.
  public static let uso4 = TAPOffloads(rawValue: 0x20)
  public static let uso6 = TAPOffloads(rawValue: 0x40)

  /// What a driver that accepts `features` can be given. The kernel refuses segmentation without checksums, and ECN
  /// without segmentation; what lacks its condition is left out.
  public init(_ features: VirtioNetFeatures) {
    self = []
    guard features.contains(.guestChecksum) else { return }
    insert(.checksum)
    if features.contains(.guestTSO4) { insert(.tso4) }
    if features.contains(.guestTSO6) { insert(.tso6) }
    if features.contains(.guestECN), contains(.tso4) || contains(.tso6) { insert(.tsoECN) }
    if features.isSuperset(of: [.guestUSO4, .guestUSO6]) { formUnion([.uso4, .uso6]) }
  }
}
