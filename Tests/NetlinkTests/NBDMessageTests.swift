import CLibNL
import Platform
import Testing

@testable import Netlink

@Suite struct NBDMessageTests {
  private let family: Int32 = 31

  private func attributes(_ message: NBDMessage) throws -> NBDAttributes {
    let header = try #require(nlmsg_hdr(message.raw))
    return try #require(NBDAttributes(of: header))
  }

  @Test func carriesEachSetting() throws {
    let message = try NBDMessage(family: family, command: NBD_CMD_CONNECT)
    try message.put(
      NBDConnection(
        index: 3, sizeBytes: 1 << 40, blockSize: 4096, serverFlags: [.hasFlags, .sendFlush, .canMultiConn],
        clientFlags: .disconnectOnClose, sockets: [7, 9], timeoutSeconds: 30, deadConnectionTimeoutSeconds: 600,
        backendIdentifier: "0000:01:00.0"))
    let header = try #require(nlmsg_hdr(message.raw))
    #expect(header.pointee.nlmsg_type == 31)
    #expect(header.pointee.nlmsg_flags == UInt16(NLM_F_REQUEST | NLM_F_ACK))
    let generic = try #require(genlmsg_hdr(header))
    #expect(generic.pointee.cmd == 1 && generic.pointee.version == 1)
    let found = try attributes(message)
    #expect(found.u32(NBD_ATTR_INDEX) == 3)
    #expect(found.u64(NBD_ATTR_SIZE_BYTES) == 1 << 40)
    #expect(found.u64(NBD_ATTR_BLOCK_SIZE_BYTES) == 4096)
    #expect(found.u64(NBD_ATTR_SERVER_FLAGS) == 0x105)
    #expect(found.u64(NBD_ATTR_CLIENT_FLAGS) == 2)
    #expect(found.u64(NBD_ATTR_TIMEOUT) == 30)
    #expect(found.u64(NBD_ATTR_DEAD_CONN_TIMEOUT) == 600)
    #expect(found.string(NBD_ATTR_BACKEND_IDENTIFIER) == "0000:01:00.0")
    #expect(found.items(NBD_ATTR_SOCKETS, NBD_SOCK_ITEM).map { $0.u32(NBD_SOCK_FD) } == [7, 9])
  }

  @Test func leavesOutWhatIsNotSet() throws {
    let message = try NBDMessage(family: family, command: NBD_CMD_CONNECT)
    try message.put(NBDConnection(sizeBytes: 512, blockSize: 512, serverFlags: [], sockets: []))
    let found = try attributes(message)
    #expect(found.u32(NBD_ATTR_INDEX) == nil)
    #expect(found.u64(NBD_ATTR_TIMEOUT) == nil)
    #expect(found.u64(NBD_ATTR_DEAD_CONN_TIMEOUT) == nil)
    #expect(found.string(NBD_ATTR_BACKEND_IDENTIFIER) == nil)
    #expect(found.items(NBD_ATTR_SOCKETS, NBD_SOCK_ITEM).isEmpty)
  }

  @Test func moreSocketsThanFitIsAFailure() throws {
    let message = try NBDMessage(family: family, command: NBD_CMD_CONNECT)
    let many = NBDConnection(sizeBytes: 512, blockSize: 512, serverFlags: [], sockets: Array(0..<100_000))
    let failure = try #require(throws: Failure.self) { try message.put(many) }
    #expect(failure.code == "netlink-message")
  }

  @Test func readsTheListOfDevices() throws {
    let message = try NBDMessage(family: family, command: NBD_CMD_STATUS)
    let list = try #require(nla_nest_start(message.raw, Int32(NBD_ATTR_DEVICE_LIST)))
    for (index, connected) in [(UInt32(0), UInt8(0)), (5, 1)] {
      let item = try #require(nla_nest_start(message.raw, Int32(NBD_DEVICE_ITEM)))
      try message.put(NBD_DEVICE_INDEX, index)
      #expect(nla_put_u8(message.raw, Int32(NBD_DEVICE_CONNECTED), connected) == 0)
      nla_nest_end(message.raw, item)
    }
    // An item that lacks half of it, and an attribute too short for its number.
    let item = try #require(nla_nest_start(message.raw, Int32(NBD_DEVICE_ITEM)))
    #expect(nla_put_u8(message.raw, Int32(NBD_DEVICE_INDEX), 9) == 0)
    #expect(nla_put_u8(message.raw, Int32(NBD_DEVICE_CONNECTED), 1) == 0)
    nla_nest_end(message.raw, item)
    nla_nest_end(message.raw, list)
    #expect(
      try attributes(message).statuses == [
        NBDStatus(index: 0, isConnected: false), NBDStatus(index: 5, isConnected: true),
      ])
  }

  @Test func flagsAreThoseOfTheProtocol() {
    let all: [(NBDServerFlags, UInt64)] = [
      (.hasFlags, 1), (.readOnly, 2), (.sendFlush, 4), (.sendFUA, 8), (.rotational, 16), (.sendTrim, 32),
      (.sendWriteZeroes, 64), (.canMultiConn, 256),
    ]
    for (flag, value) in all { #expect(flag.rawValue == value) }
    #expect(NBDClientFlags.destroyOnDisconnect.rawValue == 1 && NBDClientFlags.disconnectOnClose.rawValue == 2)
  }
}
