import CLibNL
import Platform
import Protocol
import Testing

@testable import Netlink

/// Messages as bytes, with nobody to send them to.
@Suite struct RouteMessageTests {
  private func parts(_ message: RouteMessage) throws -> (info: ifinfomsg, attributes: RouteAttributes) {
    let header = try #require(nlmsg_hdr(message.raw))
    let info = try #require(nlmsg_data(header)).loadUnaligned(as: ifinfomsg.self)
    return (info, try #require(RouteAttributes(of: header, headerSize: MemoryLayout<ifinfomsg>.size)))
  }

  @Test func aChangeNamesOnlyWhatItChanges() throws {
    let (info, attributes) = try parts(LinkChange(mtu: 9000, isUp: true, isPromiscuous: false).message(index: 7))
    #expect(info.ifi_index == 7)
    #expect(info.ifi_flags == 1)
    #expect(info.ifi_change == 0x101)
    #expect(attributes.u32(IFLA_MTU) == 9000)
    for absent in [IFLA_IFNAME, IFLA_ADDRESS, IFLA_MASTER, IFLA_NET_NS_FD, IFLA_IFALIAS] {
      #expect(attributes.bytes(absent) == nil)
    }
  }

  @Test func aChangeWithoutFlagsLeavesThemAlone() throws {
    let (info, attributes) = try parts(
      LinkChange(
        name: "left", address: HardwareAddress("52:54:00:00:00:09"), takesAllMulticast: nil,
        master: LinkChange.Master.none,
        alias: "e1000e 0000:03:00.0"
      ).message(index: 1))
    #expect(info.ifi_flags == 0 && info.ifi_change == 0)
    #expect(attributes.string(IFLA_IFNAME) == "left")
    #expect(attributes.bytes(IFLA_ADDRESS) == [0x52, 0x54, 0, 0, 0, 9])
    #expect(attributes.u32(IFLA_MASTER) == 0)
    #expect(attributes.string(IFLA_IFALIAS) == "e1000e 0000:03:00.0")
  }

  @Test func aVRFHasItsTable() throws {
    let message = try LinkKind.vrf(table: 42).message(name: "blue")
    #expect(try #require(nlmsg_hdr(message.raw)).pointee.nlmsg_flags == UInt16(NLM_F_CREATE | NLM_F_EXCL))
    let information = try #require(try parts(message).attributes.nested(IFLA_LINKINFO))
    #expect(information.string(IFLA_INFO_KIND) == "vrf")
    #expect(information.nested(IFLA_INFO_DATA)?.u32(IFLA_VRF_TABLE) == 42)
  }

  @Test func whatDoesNotFitIsAFailure() throws {
    let message = try RouteMessage(RTM_NEWLINK)
    let failure = try #require(throws: Failure.self) {
      try message.put(IFLA_IFALIAS, String(repeating: "x", count: 100_000))
    }
    #expect(failure.code == "netlink-message")
  }

  @Test func shortAttributesAreNoNumbers() throws {
    let message = try RouteMessage(RTM_NEWLINK)
    try message.put(IFLA_MTU, [1, 2, 3])
    try message.put(IFLA_STATS64, [UInt8](repeating: 1, count: 23))
    let attributes = try parts(message).attributes
    #expect(attributes.u32(IFLA_MTU) == nil)
    #expect(attributes.u64s(IFLA_STATS64)?.count == 2)
    let statistics = LinkStatistics(try #require(attributes.u64s(IFLA_STATS64)))
    #expect(statistics.receivedPackets == 0x0101_0101_0101_0101 && statistics.receivedBytes == 0)
  }

  @Test func shortMessagesAreNoLinks() throws {
    var header = nlmsghdr()
    header.nlmsg_type = UInt16(RTM_NEWLINK)
    header.nlmsg_len = UInt32(MemoryLayout<nlmsghdr>.size + 8)
    #expect(Link(parsing: &header) == nil)
    #expect(LinkInfo(&header) == nil)
  }

  @Test func aBridgesViewOfItsPortIsNoLink() throws {
    let message = try RouteMessage(RTM_NEWLINK, index: 3)
    try message.put(IFLA_IFNAME, "port")
    try message.put(IFLA_MTU, UInt32(1500))
    let header = try #require(nlmsg_hdr(message.raw))
    #expect(Link(parsing: header)?.name == "port")
    let info = try #require(nlmsg_data(header)).assumingMemoryBound(to: ifinfomsg.self)
    info.pointee.ifi_family = 7  // AF_BRIDGE
    #expect(Link(parsing: header) == nil)
  }

  @Test func readsTheTableOfMulticastAddresses() {
    let text = """
      2    eth0            1     0     333300000001
      12   bh0             2     1     01005e000001
      12   bh0             1     0     333300000001
      12   bh0             1     0     0102
      12   bh0             1     0     zz0000000001
      12   bh0
      1    lo              1     0     333300000002

      """
    let found = MulticastList.parse(Array(text.utf8), index: 12)
    #expect(found.map(\.description) == ["01:00:5e:00:00:01", "33:33:00:00:00:01"])
    #expect(MulticastList.parse([], index: 12).isEmpty)
  }
}
