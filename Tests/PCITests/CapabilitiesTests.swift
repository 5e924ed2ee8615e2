import Testing

@testable import PCI

@Suite struct CapabilitiesTests {
  /// Status with the list bit, the list at 0x40: PM, MSI, MSI-X, PCI Express (root port with FLR bit as given).
  private func words(_ more: [Int: UInt16] = [:]) -> [Int: UInt16] {
    [
      0x06: 0x10, 0x34: 0x40, 0x40: 0x5001, 0x50: 0x6005, 0x60: 0x7011, 0x62: 0x0040, 0x64: 0x2000, 0x68: 0x3000,
      0x70: 0x0010, 0x72: 0x0042, 0x76: 0x1000,
    ].merging(more) { $1 }
  }

  @Test func readsAllThatMatters() throws {
    let found = Capabilities(
      config: config(size: 4096, words([0x100: 0x000d, 0x102: 0x1481, 0x104: 0x005f, 0x106: 0x001d, 0x148: 0x0003])))
    #expect(found.entries.map(\.id) == [0x01, 0x05, 0x11, 0x10, 0x0d, 0x03])
    #expect(found.entries.map(\.offset) == [0x40, 0x50, 0x60, 0x70, 0x100, 0x148])
    #expect(found.entries.map(\.isExtended) == [false, false, false, false, true, true])
    #expect(found.hasMSI && found.hasPowerManagement && !found.isTruncated)
    let msix = try #require(found.msix)
    #expect(msix.vectorCount == 65 && msix.tableSize == 1040)
    #expect(msix.tableBar == 0 && msix.tableOffset == 0x2000 && msix.pendingOffset == 0x3000)
    #expect(found.express?.portType == .rootPort)
    #expect(found.hasFunctionLevelReset)
    #expect(found.accessControl?.missing == [])
  }

  @Test func saysWhichServicesAreOff() {
    let found = Capabilities(config: config(size: 4096, words([0x100: 0x000d, 0x102: 0x0001, 0x106: 0x0005])))
    #expect(found.accessControl?.missing == [.completionRedirect, .upstreamForwarding])
  }

  @Test func withoutTheListBitThereIsNothing() {
    #expect(Capabilities(config: config(words([0x06: 0]))) == Capabilities())
    #expect(Capabilities(config: []) == Capabilities())
    #expect(Capabilities(config: [UInt8](repeating: 0xff, count: 4096)).entries.isEmpty)
  }

  @Test func unprivilegedReadsEndAtTheHeader() {
    let found = Capabilities(config: Array(config(words()).prefix(64)))
    #expect(found.isTruncated)
    #expect(found.entries.isEmpty)
  }

  @Test(arguments: [0x40, 0x50, 0x20])
  func aListThatBitesItsTailEnds(next: Int) {
    let found = Capabilities(config: config([0x06: 0x10, 0x34: 0x40, 0x40: 0x5005, 0x50: UInt16(next) << 8 | 1]))
    #expect(found.entries.map(\.id) == [5, 1])
  }

  @Test func anExtendedListThatBitesItsTailEnds() {
    let found = Capabilities(config: config(size: 4096, words([0x100: 0x000b, 0x102: 0x1001])))
    #expect(found.entries.filter(\.isExtended).count == 1)
  }

  @Test func aCapabilityCutOffAtTheEndIsIncomplete() {
    let found = Capabilities(config: config([0x06: 0x10, 0x34: 0xfc, 0xfc: 0x0011]))
    #expect(found.entries.count == 1)
    #expect(found.msix == nil)
  }
}

@Suite struct BaseAddressTests {
  @Test func parsesTheResourceFile() {
    let bars = BaseAddress.parse(
      """
      0x00000000fe000000 0x00000000fe003fff 0x0000000000140204
      0x0000000000000000 0x0000000000000000 0x0000000000000000
      0x000000000000c000 0x000000000000c03f 0x0000000000040101
      garbage
      0x2 0x1 0x200
      """)
    #expect(bars.map(\.index) == [0, 2])
    #expect(bars[0].size == 0x4000 && bars[0].isMemory && bars[0].is64Bit && !bars[0].isIO)
    #expect(bars[1].size == 64 && bars[1].isIO && !bars[1].isMemory)
  }
}
