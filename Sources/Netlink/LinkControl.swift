import CLibNL
import Glibc
import Platform

/// Looks up, makes, changes and removes network interfaces of one namespace. Each call waits for the kernel's answer.
public final class LinkControl {
  private let socket: RouteSocket

  /// - Parameter namespace: where the links are; the calling thread's if there is none.
  /// - Throws: `netlink-route`, `network-namespace`.
  public init(namespace: NetworkNamespace? = nil) throws(Failure) { socket = try RouteSocket(namespace: namespace) }

  /// `nil` if there is none of that name.
  /// - Throws: `link-lookup`.
  public func link(named name: String) throws(Failure) -> Link? {
    let message = try RouteMessage(RTM_GETLINK)
    try message.put(IFLA_IFNAME, name)
    return try lookUp(message, "look up the interface \(name)")
  }

  /// `nil` if there is none of that number.
  /// - Throws: `link-lookup`.
  public func link(index: Int32) throws(Failure) -> Link? {
    precondition(index > 0, "interfaces are counted from 1")
    return try lookUp(RouteMessage(RTM_GETLINK, index: index), "look up interface \(index)")
  }

  private func lookUp(_ message: RouteMessage, _ step: String) throws(Failure) -> Link? {
    var found: Link?
    do throws(Failure) {
      try socket.exchange(
        message, "link-lookup", step,
        visit: { header in
          if let link = Link(parsing: header) { found = link }
        })
    } catch {
      if error.errno == ENODEV { return nil }
      throw error
    }
    guard let found else { throw Failure("link-lookup", "\(step): the kernel's answer is incomplete") }
    return found
  }

  /// Makes a link, and says what it has become.
  /// - Throws: `link-create`; EEXIST: the name is taken, EOPNOTSUPP: the kernel lacks the kind.
  public func create(_ kind: LinkKind, named name: String) throws(Failure) -> Link {
    let message = try kind.message(name: name)
    try socket.exchange(message, "link-create", "make the \(kind.name) \(name)", hint: LinkControl.createHint)
    guard let link = try link(named: name) else {
      throw Failure("link-create", "make the \(kind.name) \(name): it is gone again", errno: ENODEV)
    }
    return link
  }

  /// Changes a link. The kernel does it step by step: where it refuses, what came before stays done.
  /// - Throws: `link-change`.
  public func change(index: Int32, _ change: LinkChange) throws(Failure) {
    try socket.exchange(
      change.message(index: index), "link-change", "change interface \(index)", hint: LinkControl.changeHint)
  }

  /// - Throws: `link-delete`; ENODEV: it is gone already, EOPNOTSUPP: it is hardware.
  public func delete(index: Int32) throws(Failure) {
    try socket.exchange(RouteMessage(RTM_DELLINK, index: index), "link-delete", "delete interface \(index)")
  }

  private static func createHint(_ errno: Int32) -> String {
    switch errno {
    case EPERM: "needs CAP_NET_ADMIN"
    case EEXIST: "the name is taken: ip link shows by what"
    case EOPNOTSUPP: "the kernel lacks this kind of link"
    default: ""
    }
  }

  private static func changeHint(_ errno: Int32) -> String {
    switch errno {
    case EPERM: "needs CAP_NET_ADMIN"
    case ENODEV: "the interface, or the master it is to have, is gone"
    case EBUSY: "a bridge, or an interface that is up, keeps it from changing: ip link set down first"
    case EEXIST: "the name is taken: ip link shows by what"
    case EADDRNOTAVAIL: "the address is a group's, or all zeros"
    case EINVAL: "the kernel refuses a value: ip -d link shows the limits, such as maxmtu"
    case ELOOP: "the master belongs to the interface itself"
    default: ""
    }
  }
}
