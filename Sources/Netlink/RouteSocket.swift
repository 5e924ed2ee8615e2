import CBulkhead
import CLibNL
import Glibc
import Platform

/// A connection to the kernel's rtnetlink (rtnetlink(7)).
///
/// libnl builds, numbers, sends and walks the messages. Answers are received here, and not by libnl-route's link objects:
/// those turn the kernel's error number into one of libnl's fewer ones, drop the kernel's explanation, and know neither
/// IFLA_ALLMULTI nor which flags a request means to leave alone.
final class RouteSocket {
  private let socket: OpaquePointer
  /// A link's description has some 2 KB, an answer in parts at most 32 KB (netlink(7)).
  private var buffer = [UInt8](repeating: 0, count: 64 * 1024)

  /// - Parameter groups: RTNLGRP_* to hear; the socket does not wait then.
  /// - Throws: `netlink-route`, `network-namespace`.
  init(namespace: NetworkNamespace? = nil, groups: [rtnetlink_groups] = []) throws(Failure) {
    socket = try inNamespace(namespace) { () throws(Failure) -> OpaquePointer in
      guard let socket = nl_socket_alloc() else { throw Failure("netlink-route", "allocate a netlink socket") }
      var result = nl_connect(socket, NETLINK_ROUTE)
      for group in groups where result >= 0 { result = nl_socket_add_membership(socket, Int32(group.rawValue)) }
      if !groups.isEmpty, result >= 0 { result = nl_socket_set_nonblocking(socket) }
      guard result >= 0 else {
        nl_socket_free(socket)
        throw Failure("netlink-route", "connect to rtnetlink: \(RouteSocket.text(result))")
      }
      return socket
    }
    // The kernel's explanation of an error, without the request that it is about. Both are only nice to have.
    var on: Int32 = 1
    for option in [Self.capAck, Self.extAck] {
      _ = setsockopt(file, Self.solNetlink, option, &on, socklen_t(MemoryLayout<Int32>.size))
    }
  }

  deinit { nl_socket_free(socket) }

  /// To wait on for POLLIN.
  var file: Int32 { nl_socket_get_fd(socket) }

  // linux/netlink.h and linux/socket.h have these as macros that Swift does not see through glibc's headers.
  private static let solNetlink: Int32 = 270
  private static let capAck: Int32 = 10
  private static let extAck: Int32 = 11
  private static let flagCapped: UInt16 = 0x100
  private static let flagExplained: UInt16 = 0x200
  private static let explanation = 1

  /// Sends a request and hands each part of the answer to `visit`, until the kernel says that it is done.
  /// - Throws: `code` with the kernel's error and explanation; `netlink-route`.
  func exchange(
    _ message: RouteMessage, _ code: String, _ step: @autoclosure () -> String,
    hint: (Int32) -> String = { _ in "" }, visit: (UnsafeMutablePointer<nlmsghdr>) -> Void = { _ in }
  ) throws(Failure) {
    let sent = nl_send_auto(socket, message.raw)
    guard sent >= 0, let request = nlmsg_hdr(message.raw) else {
      throw Failure("netlink-route", "\(step()): \(RouteSocket.text(sent))")
    }
    let sequence = request.pointee.nlmsg_seq
    var outcome: (error: Int32, explanation: String)?
    while outcome == nil {
      guard
        try receive(visit: { header in
          guard header.pointee.nlmsg_seq == sequence else { return }
          switch Int32(header.pointee.nlmsg_type) {
          case Self.error: outcome = Self.outcome(header)
          case Self.done: outcome = (0, "")
          case Self.noop: break
          default: visit(header)
          }
        })
      else { throw Failure("netlink-route", "\(step()): the kernel did not answer") }
    }
    guard let outcome, outcome.error != 0 else { return }
    let because = outcome.explanation.isEmpty ? "" : " (\(outcome.explanation))"
    throw Failure(code, step() + because, errno: outcome.error, hint: hint(outcome.error))
  }

  private static let noop: Int32 = 1
  private static let error: Int32 = 2
  private static let done: Int32 = 3

  /// Receives what there is now and hands each message of the kernel's to `visit`. False: there was nothing.
  /// - Throws: `netlink-overrun` when the kernel had to drop some; `netlink-route`.
  func receive(visit: (UnsafeMutablePointer<nlmsghdr>) -> Void) throws(Failure) -> Bool {
    var sender = bh_netlink_sender()
    var count = -Int(EINTR)
    while count == -Int(EINTR) { count = bh_netlink_receive(file, &buffer, buffer.count, &sender) }
    switch Int32(clamping: count) {
    case -EAGAIN: return false
    case -ENOBUFS: throw Failure("netlink-overrun", "hear of links: the kernel had to drop some", errno: ENOBUFS)
    case ..<0: throw Failure("netlink-route", "receive from rtnetlink", errno: Int32(clamping: -count))
    default: break
    }
    guard sender.truncated == 0 else { throw Failure("netlink-route", "receive from rtnetlink: a message was cut") }
    // Other processes may send here too; the kernel is port 0.
    guard sender.port == 0 else { return true }
    buffer.withUnsafeMutableBytes { bytes in
      var next = bytes.baseAddress?.assumingMemoryBound(to: nlmsghdr.self)
      var rest = Int32(count)
      while let header = next, nlmsg_ok(header, rest) != 0 {
        visit(header)
        next = nlmsg_next(header, &rest)
      }
    }
    return true
  }

  /// What an NLMSG_ERROR says: `struct nlmsgerr`, then attributes that explain it.
  private static func outcome(_ header: UnsafeMutablePointer<nlmsghdr>) -> (error: Int32, explanation: String) {
    guard let payload = nlmsg_data(header), nlmsg_datalen(header) >= 4 else { return (EPROTO, "") }
    let error = -payload.loadUnaligned(as: Int32.self)
    let flags = header.pointee.nlmsg_flags
    guard error != 0, flags & flagCapped != 0, flags & flagExplained != 0,
      let attributes = RouteAttributes(of: header, headerSize: MemoryLayout<nlmsgerr>.size)
    else { return (error, "") }
    return (error, attributes.string(explanation) ?? "")
  }

  /// libnl's error numbers are its own; its text says what they mean.
  private static func text(_ error: Int32) -> String { String(cString: nl_geterror(error)) }
}
