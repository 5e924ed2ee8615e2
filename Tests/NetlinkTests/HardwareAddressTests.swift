import Protocol
import Testing

@testable import Netlink

@Suite struct HardwareAddressTests {
  @Test func readsText() throws {
    let address = HardwareAddress(0x52, 0x54, 0, 0x0A, 0xFF, 1)
    #expect(HardwareAddress("52:54:00:0a:FF:01") == address)
    #expect(HardwareAddress("52-54-00-0a-ff-01") == address)
    #expect(HardwareAddress(address.description) == address)
  }

  @Test(
    "anything else is refused",
    arguments: [
      "", "52:54:00:0a:ff", "52:54:00:0a:ff:01:02", "52:54:00:0a:ff:1", "52:54:00:0a:ff:001", "52:54:00:0a:ff:0g",
      "52:54:00:0a:ff:+1", "52540000ff01", "52:54::0a:ff:01", ":52:54:00:0a:ff:01", "５2:54:00:0a:ff:01",
    ])
  func refused(text: String) { #expect(HardwareAddress(text) == nil) }

  @Test func hasSixOctets() throws {
    #expect(HardwareAddress(octets: [1, 2, 3]) == nil)
    #expect(HardwareAddress(octets: [0, 0, 0, 0, 0, 0, 0]) == nil)
    #expect(try #require(HardwareAddress(octets: [2, 3, 4, 5, 6, 7])).octets == [2, 3, 4, 5, 6, 7])
  }
}
