import CLibNL
import Platform

/// A generic netlink message of the `nbd` family that is being built, or was received.
final class NBDMessage {
  /// libnl's message.
  let raw: OpaquePointer
  private static let version: UInt8 = 1

  /// - Throws: `netlink-message` when there is no memory.
  init(family: Int32, command: Int) throws(Failure) {
    guard let raw = nlmsg_alloc() else { throw Failure("netlink-message", "allocate a netlink message") }
    self.raw = raw
    guard
      genlmsg_put(
        raw, UInt32(NL_AUTO_PORT), UInt32(NL_AUTO_SEQ), family, 0, NLM_F_REQUEST | NLM_F_ACK, UInt8(command),
        NBDMessage.version) != nil
    else { throw NBDMessage.full }
  }

  deinit { nlmsg_free(raw) }

  private static var full: Failure { Failure("netlink-message", "build an nbd message: it does not fit") }

  /// Adds all that is set.
  func put(_ connection: NBDConnection) throws(Failure) {
    if let index = connection.index { try put(NBD_ATTR_INDEX, UInt32(clamping: index)) }
    try put(NBD_ATTR_SIZE_BYTES, connection.sizeBytes)
    try put(NBD_ATTR_BLOCK_SIZE_BYTES, connection.blockSize)
    try put(NBD_ATTR_SERVER_FLAGS, connection.serverFlags.rawValue)
    try put(NBD_ATTR_CLIENT_FLAGS, connection.clientFlags.rawValue)
    if let seconds = connection.timeoutSeconds { try put(NBD_ATTR_TIMEOUT, seconds) }
    if let seconds = connection.deadConnectionTimeoutSeconds { try put(NBD_ATTR_DEAD_CONN_TIMEOUT, seconds) }
    if let name = connection.backendIdentifier { try put(NBD_ATTR_BACKEND_IDENTIFIER, name) }
    if !connection.sockets.isEmpty { try put(sockets: connection.sockets) }
  }

  func put(_ attribute: Int, _ value: UInt32) throws(Failure) {
    try check(nla_put_u32(raw, Int32(attribute), value))
  }

  func put(_ attribute: Int, _ value: UInt64) throws(Failure) {
    try check(nla_put_u64(raw, Int32(attribute), value))
  }

  func put(_ attribute: Int, _ value: String) throws(Failure) {
    try check(nla_put_string(raw, Int32(attribute), value))
  }

  /// `SOCKETS { ITEM { FD }, ITEM { FD }... }`
  private func put(sockets: [Int32]) throws(Failure) {
    guard let list = nla_nest_start(raw, Int32(NBD_ATTR_SOCKETS)) else { throw NBDMessage.full }
    for socket in sockets {
      guard let item = nla_nest_start(raw, Int32(NBD_SOCK_ITEM)) else { throw NBDMessage.full }
      try put(NBD_SOCK_FD, UInt32(bitPattern: socket))
      nla_nest_end(raw, item)
    }
    nla_nest_end(raw, list)
  }

  private func check(_ result: Int32) throws(Failure) {
    if result < 0 { throw NBDMessage.full }
  }
}

/// Attributes of a received message. libnl checks each length against the message as it walks.
struct NBDAttributes {
  private let first: UnsafeMutablePointer<nlattr>?
  private let length: Int32

  /// The attributes behind the generic netlink header; `nil` if the message is too short to have one.
  init?(of header: UnsafeMutablePointer<nlmsghdr>) {
    guard genlmsg_valid_hdr(header, 0) != 0, let generic = genlmsg_hdr(header) as UnsafeMutablePointer<genlmsghdr>?
    else {
      return nil
    }
    first = genlmsg_attrdata(generic, 0)
    length = genlmsg_attrlen(generic, 0)
  }

  private init(in nest: UnsafeMutablePointer<nlattr>) {
    first = nla_data(nest)?.assumingMemoryBound(to: nlattr.self)
    length = nla_len(nest)
  }

  /// Calls `body` with each attribute's type, in order.
  private func visit(_ body: (Int32, UnsafeMutablePointer<nlattr>) -> Void) {
    var next = first
    var rest = length
    while let attribute = next, nla_ok(attribute, rest) != 0 {
      body(nla_type(attribute), attribute)
      next = nla_next(attribute, &rest)
    }
  }

  /// The last attribute of a kind, if it has at least `size` bytes.
  private func find(
    _ kind: Int, size: Int32
  ) -> UnsafeMutablePointer<nlattr>? {
    var found: UnsafeMutablePointer<nlattr>?
    visit { type, attribute in
      if type == Int32(kind), nla_len(attribute) >= size { found = attribute }
    }
    return found
  }

  func u8(_ kind: Int) -> UInt8? {
    find(kind, size: 1).map { nla_get_u8($0) }
  }

  func u32(_ kind: Int) -> UInt32? {
    find(kind, size: 4).map { nla_get_u32($0) }
  }

  func u64(_ kind: Int) -> UInt64? {
    find(kind, size: 8).map { nla_get_u64($0) }
  }

  func string(_ kind: Int) -> String? {
    find(kind, size: 1).flatMap { attribute in
      guard let bytes = nla_data(attribute) else { return nil }
      let text = UnsafeRawBufferPointer(start: bytes, count: Int(nla_len(attribute)))
      return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  /// The attributes inside each item of kind `item` in the list of kind `list`.
  func items(
    _ list: Int, _ item: Int
  ) -> [NBDAttributes] {
    guard let nest = find(list, size: 0) else { return [] }
    var items: [NBDAttributes] = []
    NBDAttributes(in: nest).visit { type, attribute in
      if type == Int32(item) { items.append(NBDAttributes(in: attribute)) }
    }
    return items
  }

  /// `DEVICE_LIST { ITEM { INDEX, CONNECTED }... }`
  var statuses: [NBDStatus] {
    items(NBD_ATTR_DEVICE_LIST, NBD_DEVICE_ITEM).compactMap { item in
      guard let index = item.u32(NBD_DEVICE_INDEX), let connected = item.u8(NBD_DEVICE_CONNECTED) else { return nil }
      return NBDStatus(index: Int(index), isConnected: connected != 0)
    }
  }
}
