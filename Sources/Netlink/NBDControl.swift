import CLibNL
import Glibc
import Platform

/// Connects and disconnects the kernel's NBD devices over generic netlink. Each call waits for the kernel's answer.
public final class NBDControl {
  private let socket: OpaquePointer
  private let family: Int32

  /// - Throws: `nbd-missing` when the kernel has no NBD, `nbd-netlink`.
  public init() throws(Failure) {
    guard let socket = nl_socket_alloc() else { throw Failure("nbd-netlink", "allocate a netlink socket") }
    let connected = genl_connect(socket)
    let family = connected < 0 ? 0 : genl_ctrl_resolve(socket, NBD_GENL_FAMILY_NAME)
    guard connected >= 0, family >= 0 else {
      nl_socket_free(socket)
      if connected < 0 { throw NBDControl.failure("nbd-netlink", "connect to generic netlink", connected) }
      throw Failure("nbd-missing", "find the kernel's nbd family", hint: "load the module: modprobe nbd")
    }
    self.socket = socket
    self.family = family
  }

  deinit { nl_socket_free(socket) }

  /// Connects a device and returns its index. The sockets are looked up in the calling process.
  /// - Throws: `nbd-connect`; EBUSY: the index is in use.
  public func connect(_ connection: NBDConnection) throws(Failure) -> Int {
    let name = connection.index.map { "/dev/nbd\($0)" } ?? "the next free NBD device"
    let message = try NBDMessage(family: family, command: NBD_CMD_CONNECT)
    try message.put(connection)
    let answer = try exchange(message, "nbd-connect", "connect \(name)")
    guard let index = answer.index ?? connection.index else {
      throw Failure("nbd-connect", "connect \(name): the kernel did not say which it is")
    }
    return index
  }

  /// Replaces dead sockets of a connected device, and its size and time-outs. The kernel ignores the rest.
  /// - Throws: `nbd-reconfigure`; ENOSPC or EINVAL: there is no dead socket to replace, or the identifier differs.
  public func reconfigure(index: Int, _ connection: NBDConnection) throws(Failure) {
    var connection = connection
    connection.index = index
    let message = try NBDMessage(family: family, command: NBD_CMD_RECONFIGURE)
    try message.put(connection)
    _ = try exchange(message, "nbd-reconfigure", "reconfigure /dev/nbd\(index)")
  }

  /// Disconnects a device; requests that are under way fail. A device that is not connected stays so.
  /// - Throws: `nbd-disconnect`; EINVAL: there is no such device.
  public func disconnect(index: Int) throws(Failure) {
    let message = try NBDMessage(family: family, command: NBD_CMD_DISCONNECT)
    try message.put(NBD_ATTR_INDEX, UInt32(clamping: index))
    _ = try exchange(message, "nbd-disconnect", "disconnect /dev/nbd\(index)")
  }

  /// The state of one device, or of all.
  /// - Throws: `nbd-status`.
  public func status(index: Int? = nil) throws(Failure) -> [NBDStatus] {
    let message = try NBDMessage(family: family, command: NBD_CMD_STATUS)
    if let index { try message.put(NBD_ATTR_INDEX, UInt32(clamping: index)) }
    return try exchange(message, "nbd-status", "ask for the state of NBD devices").statuses
  }

  /// What came back, filled in by libnl's callbacks.
  private final class Answer {
    var index: Int?
    var statuses: [NBDStatus] = []
    var errno: Int32 = 0
    var isComplete = false
  }

  private func exchange(
    _ message: NBDMessage, _ code: String, _ step: String
  ) throws(Failure) -> Answer {
    let answer = Answer()
    guard let callbacks = nl_cb_alloc(NL_CB_DEFAULT) else { throw Failure("nbd-netlink", "allocate callbacks") }
    defer { nl_cb_put(callbacks) }
    let context = Unmanaged.passUnretained(answer).toOpaque()
    nl_cb_set(
      callbacks, NL_CB_VALID, NL_CB_CUSTOM,
      { received, context in
        guard let received, let context, let header = nlmsg_hdr(received), let attributes = NBDAttributes(of: header)
        else { return Int32(NL_SKIP.rawValue) }
        let answer = Unmanaged<Answer>.fromOpaque(context).takeUnretainedValue()
        if let index = attributes.u32(NBD_ATTR_INDEX) { answer.index = Int(index) }
        answer.statuses += attributes.statuses
        return Int32(NL_OK.rawValue)
      }, context)
    nl_cb_set(
      callbacks, NL_CB_ACK, NL_CB_CUSTOM,
      { _, context in
        guard let context else { return Int32(NL_STOP.rawValue) }
        Unmanaged<Answer>.fromOpaque(context).takeUnretainedValue().isComplete = true
        return Int32(NL_STOP.rawValue)
      }, context)
    nl_cb_err(
      callbacks, NL_CB_CUSTOM,
      { _, error, context in
        guard let context else { return Int32(NL_STOP.rawValue) }
        let answer = Unmanaged<Answer>.fromOpaque(context).takeUnretainedValue()
        // libnl's own codes are fewer than the kernel's: keep the number that the kernel sent.
        answer.errno = -(error?.pointee.error ?? -EPROTO)
        answer.isComplete = true
        return Int32(NL_STOP.rawValue)
      }, context)

    let sent = nl_send_auto(socket, message.raw)
    if sent < 0 { throw NBDControl.failure("nbd-netlink", step, sent) }
    while !answer.isComplete {
      let received = nl_recvmsgs(socket, callbacks)
      // Also negative, by libnl's own number, when the kernel has sent an error.
      if received < 0, !answer.isComplete { throw NBDControl.failure("nbd-netlink", step, received) }
    }
    if answer.errno != 0 { throw Failure(code, step, errno: answer.errno, hint: NBDControl.hint(answer.errno)) }
    return answer
  }

  private static func hint(_ errno: Int32) -> String {
    switch errno {
    case EPERM: return "needs CAP_SYS_ADMIN"
    case EBUSY: return "another process has connected it: nbd-client -c says who"
    default: return ""
    }
  }

  /// libnl's error numbers are its own; its text says what they mean.
  private static func failure(_ code: String, _ step: String, _ error: Int32) -> Failure {
    Failure(code, "\(step): \(String(cString: nl_geterror(error)))")
  }
}
