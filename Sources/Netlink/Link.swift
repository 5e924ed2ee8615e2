import CLibNL
import Protocol

/// A network interface, as the kernel describes it in one RTM_NEWLINK.
public struct Link: Sendable, Equatable {
  /// Its number, the same for its whole life in one namespace.
  public var index: Int32
  public var name: String
  public var flags: LinkFlags
  /// `nil` where addresses are not Ethernet's.
  public var address: HardwareAddress?
  /// The largest packet, in bytes, without the Ethernet header.
  public var mtu: UInt32
  /// Whether there is a link partner; a kernel says so only while the interface is up.
  public var hasCarrier: Bool
  /// How many have asked for all frames: `ip link set promisc on`, a bridge, each tcpdump.
  public var promiscuity: UInt32
  /// How many have asked for all multicast frames. Linux before 6.0 tells only of `ip link set allmulticast on`.
  public var allMulticast: UInt32
  /// The index of the bridge or VRF that it belongs to.
  public var master: Int32?
  /// `ip link set alias`: free text.
  public var alias: String
  /// `tun`, `bridge`, `vrf`...; empty for hardware.
  public var kind: String
  public var transmitQueues: UInt32
  public var receiveQueues: UInt32
  public var statistics: LinkStatistics
  /// Somebody's XDP program decides which frames are taken.
  public var hasProgram: Bool

  /// The administrator wants it to work.
  public var isUp: Bool { flags.contains(.up) }
  /// It has to hear all frames.
  public var isPromiscuous: Bool { promiscuity > 0 }

  /// Parses RTM_NEWLINK. `nil` where this is not a whole description: bridges send shorter ones for their ports
  /// (family AF_BRIDGE), and wireless drivers for their events.
  init?(parsing header: UnsafeMutablePointer<nlmsghdr>) {
    guard let info = LinkInfo(header), info.isWhole, Int(header.pointee.nlmsg_type) == RTM_NEWLINK,
      let attributes = RouteAttributes(of: header, headerSize: MemoryLayout<ifinfomsg>.size),
      let name = attributes.string(IFLA_IFNAME), let mtu = attributes.u32(IFLA_MTU)
    else { return nil }
    index = info.index
    flags = info.flags
    self.name = name
    self.mtu = mtu
    address = attributes.bytes(IFLA_ADDRESS).flatMap { HardwareAddress(octets: $0) }
    hasCarrier = attributes.u8(IFLA_CARRIER).map { $0 != 0 } ?? info.flags.contains(.lowerUp)
    promiscuity = attributes.u32(IFLA_PROMISCUITY) ?? (info.flags.contains(.promiscuous) ? 1 : 0)
    allMulticast = attributes.u32(Self.allMulticastAttribute) ?? (info.flags.contains(.allMulticast) ? 1 : 0)
    master = attributes.u32(IFLA_MASTER).flatMap { $0 == 0 ? nil : Int32(bitPattern: $0) }
    alias = attributes.string(IFLA_IFALIAS) ?? ""
    kind = attributes.nested(IFLA_LINKINFO)?.string(IFLA_INFO_KIND) ?? ""
    transmitQueues = attributes.u32(IFLA_NUM_TX_QUEUES) ?? 1
    receiveQueues = attributes.u32(IFLA_NUM_RX_QUEUES) ?? 1
    hasProgram = (attributes.nested(IFLA_XDP)?.u8(IFLA_XDP_ATTACHED) ?? 0) != 0
    statistics = LinkStatistics(attributes.u64s(IFLA_STATS64) ?? [])
  }

  /// IFLA_ALLMULTI; headers before Linux 6.0 lack it.
  static let allMulticastAttribute = 61
}

/// The fixed part of a message about a link: `struct ifinfomsg`.
struct LinkInfo {
  var index: Int32
  var flags: LinkFlags
  /// Of the link itself, and not of its place in a bridge.
  var isWhole: Bool

  init?(_ header: UnsafeMutablePointer<nlmsghdr>) {
    guard nlmsg_valid_hdr(header, Int32(MemoryLayout<ifinfomsg>.size)) != 0, let payload = nlmsg_data(header) else {
      return nil
    }
    let info = payload.loadUnaligned(as: ifinfomsg.self)
    index = info.ifi_index
    flags = LinkFlags(rawValue: info.ifi_flags)
    isWhole = info.ifi_family == 0
  }
}

/// IFF_* of linux/if.h.
public struct LinkFlags: OptionSet, Sendable, Hashable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let up = LinkFlags(rawValue: 1 << 0)
  public static let broadcast = LinkFlags(rawValue: 1 << 1)
  public static let loopback = LinkFlags(rawValue: 1 << 3)
  public static let running = LinkFlags(rawValue: 1 << 6)
  public static let noARP = LinkFlags(rawValue: 1 << 7)
  /// Asked for with `ip link set promisc on`; see ``Link/promiscuity`` for all who ask.
  public static let promiscuous = LinkFlags(rawValue: 1 << 8)
  public static let allMulticast = LinkFlags(rawValue: 1 << 9)
  public static let multicast = LinkFlags(rawValue: 1 << 12)
  /// There is carrier.
  public static let lowerUp = LinkFlags(rawValue: 1 << 16)
  public static let dormant = LinkFlags(rawValue: 1 << 17)
}

/// What an interface has counted (`struct rtnl_link_stats64`), from the kernel's side: `received` came up from the driver.
public struct LinkStatistics: Sendable, Equatable {
  public var receivedPackets: UInt64
  public var sentPackets: UInt64
  public var receivedBytes: UInt64
  public var sentBytes: UInt64
  public var receiveErrors: UInt64
  public var sendErrors: UInt64
  public var receiveDropped: UInt64
  public var sendDropped: UInt64
  public var multicast: UInt64

  /// In the kernel's order. What is missing is 0.
  init(_ values: [UInt64]) {
    func value(_ index: Int) -> UInt64 { index < values.count ? values[index] : 0 }
    receivedPackets = value(0)
    sentPackets = value(1)
    receivedBytes = value(2)
    sentBytes = value(3)
    receiveErrors = value(4)
    sendErrors = value(5)
    receiveDropped = value(6)
    sendDropped = value(7)
    multicast = value(8)
  }
}
