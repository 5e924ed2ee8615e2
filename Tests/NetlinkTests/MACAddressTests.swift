import Testing

@testable import Netlink

@Suite struct MACAddressTests {
  @Test func readsAndWrites() throws {
    let address = try #require(MACAddress("52:54:00:0a:FF:01"))
    #expect(address.bytes == [0x52, 0x54, 0, 0x0A, 0xFF, 1])
    #expect(address.description == "52:54:00:0a:ff:01")
    #expect(MACAddress("52-54-00-0a-ff-01") == address)
    #expect(MACAddress([0x52, 0x54, 0, 0x0A, 0xFF, 1]) == address)
  }

  @Test(
    "anything else is refused",
    arguments: [
      "", "52:54:00:0a:ff", "52:54:00:0a:ff:01:02", "52:54:00:0a:ff:1", "52:54:00:0a:ff:001", "52:54:00:0a:ff:0g",
      "52:54:00:0a:ff:+1", "52540000ff01", "52:54::0a:ff:01", ":52:54:00:0a:ff:01", "５2:54:00:0a:ff:01",
    ])
  func refused(text: String) { #expect(MACAddress(text) == nil) }

  @Test func knowsWhatAnInterfaceMayHave() throws {
    #expect(try #require(MACAddress("52:54:00:00:00:01")).isStation)
    #expect(try !#require(MACAddress("00:00:00:00:00:00")).isStation)
    #expect(try !#require(MACAddress("33:33:00:00:00:01")).isStation)
    #expect(try #require(MACAddress("33:33:00:00:00:01")).isMulticast)
    #expect(MACAddress([1, 2, 3]) == nil)
  }
}
