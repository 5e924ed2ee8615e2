import CLibNL
import Platform
import Protocol

/// What is to change about a link. What is `nil` stays as it is.
public struct LinkChange: Sendable {
  /// Where a link is to belong.
  public enum Master: Sendable, Equatable {
    case none
    /// The index of a bridge or VRF, in the namespace in which the link will be.
    case link(Int32)
  }

  public var name: String?
  public var address: HardwareAddress?
  /// Bytes.
  public var mtu: UInt32?
  public var isUp: Bool?
  public var isPromiscuous: Bool?
  public var takesAllMulticast: Bool?
  public var master: Master?
  /// The link moves there first; the rest is done there, and its index may be another one.
  public var namespace: NetworkNamespace?
  /// At most 255 bytes; an empty one takes the alias away.
  public var alias: String?

  public init(
    name: String? = nil, address: HardwareAddress? = nil, mtu: UInt32? = nil, isUp: Bool? = nil,
    isPromiscuous: Bool? = nil, takesAllMulticast: Bool? = nil, master: Master? = nil,
    namespace: NetworkNamespace? = nil, alias: String? = nil
  ) {
    self.name = name
    self.address = address
    self.mtu = mtu
    self.isUp = isUp
    self.isPromiscuous = isPromiscuous
    self.takesAllMulticast = takesAllMulticast
    self.master = master
    self.namespace = namespace
    self.alias = alias
  }

  /// The flags that are named, and the values they are to have. All others stay, also those that somebody else changes
  /// at the same time.
  var flags: (values: LinkFlags, mask: LinkFlags) {
    var values: LinkFlags = []
    var mask: LinkFlags = []
    for (flag, wanted) in [
      (LinkFlags.up, isUp), (.promiscuous, isPromiscuous), (.allMulticast, takesAllMulticast),
    ] {
      guard let wanted else { continue }
      mask.insert(flag)
      if wanted { values.insert(flag) }
    }
    return (values, mask)
  }

  /// RTM_NEWLINK for a link that exists.
  func message(index: Int32) throws(Failure) -> RouteMessage {
    let (values, mask) = flags
    let message = try RouteMessage(RTM_NEWLINK, index: index, flags: values, mask: mask)
    if let name { try message.put(IFLA_IFNAME, name) }
    if let address { try message.put(IFLA_ADDRESS, address.octets) }
    if let mtu { try message.put(IFLA_MTU, mtu) }
    if let namespace { try message.put(IFLA_NET_NS_FD, UInt32(bitPattern: namespace.file)) }
    if let alias { try message.put(IFLA_IFALIAS, alias) }
    switch master {
    case .none?: try message.put(IFLA_MASTER, UInt32(0))
    case .link(let index)?: try message.put(IFLA_MASTER, UInt32(bitPattern: index))
    case nil: break
    }
    return message
  }
}

/// Kinds of links that can be made here. A TAP is made by its file, not by netlink.
public enum LinkKind: Sendable, Equatable {
  case bridge
  /// A domain of its own for routes, which are in this table.
  case vrf(table: UInt32)

  var name: String {
    switch self {
    case .bridge: "bridge"
    case .vrf: "vrf"
    }
  }
  /// RTM_NEWLINK for a link that does not exist.
  func message(name: String) throws(Failure) -> RouteMessage {
    let message = try RouteMessage(RTM_NEWLINK, netlinkFlags: NLM_F_CREATE | NLM_F_EXCL)
    try message.put(IFLA_IFNAME, name)
    try message.nest(IFLA_LINKINFO) { () throws(Failure) in
      try message.put(IFLA_INFO_KIND, self.name)
      guard case .vrf(let table) = self else { return }
      try message.nest(IFLA_INFO_DATA) { () throws(Failure) in try message.put(IFLA_VRF_TABLE, table) }
    }
    return message
  }
}
