import Testing

@testable import PCI

@Suite struct PCIAddressTests {
  @Test(arguments: [
    ("0000:01:00.0", "0000:01:00.0"), ("01:00.0", "0000:01:00.0"), ("00:1f.7", "0000:00:1f.7"),
    ("0001:fF:1F.3", "0001:ff:1f.3"), ("10000:e1:00.0", "10000:e1:00.0"),
  ])
  func parsesAndPrints(text: String, canonical: String) throws {
    let address = try #require(PCIAddress(text))
    #expect(address.description == canonical)
    #expect(PCIAddress(canonical) == address)
  }

  @Test(arguments: [
    "", "01:00", "1:00.0", "01:0.0", "001:00.0", "01:00.8", "01:20.0", "01:00.00", "01:00.0 ", " 01:00.0", "01:00,0",
    "000:01:00.0", "0000:01:00:0", "0000:0000:01:00.0", ":01:00.0", "0000:0g:00.0", "0000:01:00.", "+1:00.0",
    "123456789:01:00.0", "../..", "0000:01:00.0/..",
  ])
  func refusesAnythingElse(text: String) {
    #expect(PCIAddress(text) == nil)
  }

  @Test func ordersByDomainBusDeviceFunction() throws {
    let texts = ["0000:00:1f.7", "0000:01:00.0", "0000:01:00.1", "0000:01:01.0", "0001:00:00.0"]
    let addresses = texts.compactMap { PCIAddress($0) }
    #expect(addresses.shuffled().sorted().map(\.description) == texts)
  }

  @Test func rejectsNumbersOutOfRange() {
    #expect(PCIAddress(bus: 0, device: 32, function: 0) == nil)
    #expect(PCIAddress(bus: 0, device: 0, function: 8) == nil)
  }
}
