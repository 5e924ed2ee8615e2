import CLibNL
import Glibc
import Platform
import Protocol

/// What changed about a link.
public struct LinkAspects: OptionSet, Sendable, Hashable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Up or down.
  public static let up = LinkAspects(rawValue: 1 << 0)
  public static let mtu = LinkAspects(rawValue: 1 << 1)
  public static let address = LinkAspects(rawValue: 1 << 2)
  /// From nobody to somebody who wants all frames, or back.
  public static let promiscuity = LinkAspects(rawValue: 1 << 3)
  /// The same for all multicast frames.
  public static let allMulticast = LinkAspects(rawValue: 1 << 4)
  /// The list of multicast addresses.
  public static let multicastList = LinkAspects(rawValue: 1 << 5)
  public static let carrier = LinkAspects(rawValue: 1 << 6)
  public static let name = LinkAspects(rawValue: 1 << 7)
  public static let master = LinkAspects(rawValue: 1 << 8)
  public static let alias = LinkAspects(rawValue: 1 << 9)

  /// What differs between two descriptions of one link.
  public init(from old: Link, to new: Link) {
    self = []
    if old.isUp != new.isUp { insert(.up) }
    if old.mtu != new.mtu { insert(.mtu) }
    if old.address != new.address { insert(.address) }
    if old.isPromiscuous != new.isPromiscuous { insert(.promiscuity) }
    if (old.allMulticast > 0) != (new.allMulticast > 0) { insert(.allMulticast) }
    if old.hasCarrier != new.hasCarrier { insert(.carrier) }
    if old.name != new.name { insert(.name) }
    if old.master != new.master { insert(.master) }
    if old.alias != new.alias { insert(.alias) }
  }
}

/// What a ``LinkMonitor`` tells.
public enum LinkEvent: Sendable, Equatable {
  /// ``LinkMonitor/link`` or ``LinkMonitor/multicast`` are new.
  case changed(LinkAspects)
  /// Deleted, or moved to another namespace. Nothing more comes.
  case removed
  /// The kernel does not answer; what is known may be old. Nothing more comes.
  case failed(Failure)
}

/// Follows one interface, whoever changes it.
///
/// Changes that cancel out between two looks are not told: what counts is what the interface is to be now. A message only
/// says that there is something to see: what it describes may be older than what was seen already, and the kernel does
/// not send one for everything.
public final class LinkMonitor {
  /// The interface as last heard of.
  public private(set) var link: Link
  /// Its multicast addresses.
  public private(set) var multicast: [HardwareAddress]

  /// How many times the kernel had to drop messages, after which everything was looked at again.
  public private(set) var overruns: UInt64 = 0

  private let loop: EventLoop
  private let events: RouteSocket
  private let control: LinkControl
  private let multicastList: MulticastList
  private let handler: (LinkEvent) -> Void
  private var tokens: [EventLoop.Token] = []

  /// - Parameters:
  ///   - interval: everything is looked at so often, beside whenever there is a message; 0: only then. No message tells of
  ///     the list of multicast addresses, nor of promiscuity for the sake of an address (a macvlan's, or a VLAN's with
  ///     an address of its own: `__dev_set_promiscuity` in net/core/dev.c), nor of all multicast for the sake of a program.
  ///   - handler: called on the loop's thread; it may call ``stop()``.
  /// - Throws: `link-lookup`, ENODEV when there is no such interface; `netlink-route`, `multicast-list`.
  public init(
    loop: EventLoop, index: Int32, namespace: NetworkNamespace? = nil, interval: Nanoseconds = 1_000_000_000,
    handler: @escaping (LinkEvent) -> Void
  ) throws(Failure) {
    // First listen, then look: what changes between the two is heard.
    events = try RouteSocket(
      namespace: namespace, groups: [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR])
    control = try LinkControl(namespace: namespace)
    multicastList = try MulticastList(index: index, namespace: namespace)
    guard let link = try control.link(index: index) else {
      throw Failure("link-lookup", "follow interface \(index): there is none")
    }
    self.link = link
    multicast = try multicastList.read()
    self.loop = loop
    self.handler = handler
    tokens.append(loop.watch(events.file) { [weak self] _ in self?.hear() })
    if interval > 0 { tokens.append(loop.after(interval, every: interval) { [weak self] in self?.beat() }) }
  }

  deinit { stop() }

  /// The socket that hears the messages.
  var file: Int32 { events.file }

  /// Looks at the interface now, beside what the kernel tells. What this returns the handler will not be told again.
  /// - Throws: `link-lookup`, ENODEV when the interface is gone; the handler is told of that too.
  public func look() throws(Failure) -> LinkAspects {
    guard let changes = try refresh() else {
      throw Failure("link-lookup", "look at \(link.name)", errno: ENODEV)
    }
    return changes
  }

  /// Tells nothing more.
  public func stop() {
    tokens.forEach(loop.remove)
    tokens = []
  }

  /// What a burst of messages adds up to.
  private struct News {
    var mustLook = false
    var isGone = false
  }

  private func hear() {
    var news = News()
    do throws(Failure) { try drain(into: &news) } catch { return end(.failed(error)) }
    if news.isGone { return end(.removed) }
    guard news.mustLook else { return }
    do throws(Failure) {
      guard let changes = try refresh() else { return end(.removed) }
      if !changes.isEmpty { handler(.changed(changes)) }
    } catch { end(.failed(error)) }
  }

  /// Looks at what nobody tells of.
  private func beat() {
    // Where the kernel does not answer now, the next beat asks again; where the link is gone, a message says so.
    guard let changes = try? refresh(), !changes.isEmpty else { return }
    handler(.changed(changes))
  }

  /// Takes everything as it is now; nil: the link is gone.
  private func refresh() throws(Failure) -> LinkAspects? {
    guard let now = try control.link(index: link.index) else { return nil }
    var changes = LinkAspects(from: link, to: now)
    link = now
    if hasNewMulticast() { changes.insert(.multicastList) }
    return changes
  }

  /// Takes all that there is. That matters after an overrun: until the socket is empty the kernel goes on dropping, without
  /// saying so again, and what is left in it is older than what a look shows.
  private func drain(into news: inout News) throws(Failure) {
    while !news.isGone {
      do throws(Failure) {
        guard try events.receive(visit: { take($0, into: &news) }) else { return }
      } catch {
        guard error.code == "netlink-overrun" else { throw error }
        overruns += 1
        news.mustLook = true
      }
    }
  }

  private func take(_ header: UnsafeMutablePointer<nlmsghdr>, into news: inout News) {
    switch Int(header.pointee.nlmsg_type) {
    case RTM_NEWLINK:
      guard let info = LinkInfo(header), info.isWhole, info.index == link.index else { return }
      news.mustLook = true
    case RTM_DELLINK:
      // One of family AF_BRIDGE only says that it has left a bridge.
      guard let info = LinkInfo(header), info.isWhole, info.index == link.index else { return }
      news.isGone = true
    default: news.mustLook = true
    }
  }

  private func hasNewMulticast() -> Bool {
    // A list that cannot be read is tried again with the next beat.
    guard let now = try? multicastList.read(), now != multicast else { return false }
    multicast = now
    return true
  }

  private func end(_ event: LinkEvent) {
    stop()
    handler(event)
  }
}
