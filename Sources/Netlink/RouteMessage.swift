import CLibNL
import Platform

/// A message about a link (rtnetlink(7)) that is being built.
final class RouteMessage {
  /// libnl's message.
  let raw: OpaquePointer

  /// - Parameters:
  ///   - index: the link's number; 0 if it is named by an attribute, or to be made.
  ///   - flags: the values of those that `mask` has.
  /// - Throws: `netlink-message` when there is no memory.
  init(
    _ type: Int, index: Int32 = 0, flags: LinkFlags = [], mask: LinkFlags = [], netlinkFlags: Int32 = 0
  ) throws(Failure) {
    guard let raw = nlmsg_alloc_simple(Int32(type), netlinkFlags) else {
      throw Failure("netlink-message", "allocate a netlink message")
    }
    self.raw = raw
    var header = ifinfomsg()
    header.ifi_family = 0
    header.ifi_index = index
    header.ifi_flags = flags.rawValue
    header.ifi_change = mask.rawValue
    let result = nlmsg_append(raw, &header, MemoryLayout<ifinfomsg>.size, Int32(NLMSG_ALIGNTO))
    if result < 0 { throw RouteMessage.full }
  }

  deinit { nlmsg_free(raw) }

  private static var full: Failure { Failure("netlink-message", "build a message about a link: it does not fit") }

  func put(_ attribute: Int, _ value: UInt32) throws(Failure) { try check(nla_put_u32(raw, Int32(attribute), value)) }

  func put(_ attribute: Int, _ value: String) throws(Failure) {
    try check(nla_put_string(raw, Int32(attribute), value))
  }

  func put(_ attribute: Int, _ bytes: [UInt8]) throws(Failure) {
    try check(nla_put(raw, Int32(attribute), Int32(bytes.count), bytes))
  }

  /// An attribute that has attributes in it.
  func nest(_ attribute: Int, _ body: () throws(Failure) -> Void) throws(Failure) {
    guard let nest = nla_nest_start(raw, Int32(attribute)) else { throw RouteMessage.full }
    try body()
    nla_nest_end(raw, nest)
  }

  private func check(_ result: Int32) throws(Failure) {
    if result < 0 { throw RouteMessage.full }
  }
}
