import Platform
import Testing

@testable import VFIO

@Suite struct BarLayoutTests {
  private func region(size: UInt64, flags: UInt32 = mappable, sparse: [Range<UInt64>]? = nil) throws -> RegionInfo {
    var info = try RegionInfo(parsing: InfoBytes.region(flags: flags, size: size, offset: 1 << 40).bytes)
    info.sparseAreas = sparse
    return info
  }

  private func ranges(_ region: RegionInfo, holes: [Range<UInt64>] = []) -> [Range<UInt64>] {
    BarLayout.mappableRanges(region, holes: holes, pageSize: 4096).map { range in
      #expect(range.fileOffset == 1 << 40 + range.offset)
      return range.offset..<(range.offset + range.length)
    }
  }

  @Test func theWholeBarWithoutHoles() throws {
    #expect(ranges(try region(size: 0x4000)) == [0..<0x4000])
  }

  @Test func nothingOfARegionThatTheKernelDoesNotMap() throws {
    #expect(ranges(try region(size: 0x4000, flags: 0x3)) == [])
    #expect(ranges(try region(size: 0)) == [])
  }

  @Test func anNVMeControllerLosesItsTableAndPendingPages() throws {
    // QEMU's nvme: table at 0x2000, pending bits at 0x3000.
    let msix = MSIXStructure(control: 64, table: 0x2000, pending: 0x3000)
    #expect(ranges(try region(size: 0x4000), holes: msix.holes(bar: 0)) == [0..<0x2000])
    #expect(msix.holes(bar: 1) == [])
  }

  @Test func aHoleTakesWholePages() throws {
    #expect(ranges(try region(size: 0x4000), holes: [0x1ff8..<0x2008]) == [0..<0x1000, 0x3000..<0x4000])
    #expect(ranges(try region(size: 0x4000), holes: [0x0..<0x1]) == [0x1000..<0x4000])
    #expect(ranges(try region(size: 0x1000), holes: [0x800..<0x900]) == [])
  }

  @Test func aHoleBehindTheBarTakesNothing() throws {
    #expect(ranges(try region(size: 0x4000), holes: [0x8000..<0x9000]) == [0..<0x4000])
    #expect(ranges(try region(size: 0x4000), holes: [(.max - 16)..<(.max)]) == [0..<0x4000])
  }

  @Test func sparseAreasCountOnlyTheirWholePages() throws {
    let areas: [Range<UInt64>] = [0x8000..<0xa000, 0x100..<0x2f00, 0x4010..<0x4fff]
    #expect(ranges(try region(size: 0x10000, sparse: areas)) == [0x1000..<0x2000, 0x8000..<0xa000])
    #expect(
      ranges(try region(size: 0x10000, sparse: areas), holes: [0x9000..<0x9010]) == [0x1000..<0x2000, 0x8000..<0x9000])
    #expect(ranges(try region(size: 0x10000, sparse: [])) == [])
  }

  @Test func aBarSmallerThanAPageCountsAsOne() throws {
    #expect(ranges(try region(size: 0x80)) == [0..<0x1000])
    #expect(ranges(try region(size: 0x80), holes: [0x40..<0x50]) == [])
  }
}

@Suite struct MSIXStructureTests {
  /// Configuration space with `bytes` at their offsets.
  private func find(_ bytes: [Int: UInt8]) throws -> MSIXStructure? {
    try MSIXStructure.find { (offset, width) throws(Failure) in
      guard offset >= 0, offset + width.rawValue <= 256, offset % width.rawValue == 0 else {
        throw Failure("test", "read \(width) at \(offset)")
      }
      return (0..<width.rawValue).reduce(0) { $0 | UInt32(bytes[offset + $1] ?? 0) << UInt32(8 * $1) }
    }
  }

  @Test func sizesOfTheTableAndThePendingBits() {
    let msix = MSIXStructure(control: 0x8000 | 64, table: 0x2004, pending: 0x3002)
    #expect(msix.vectorCount == 65)
    #expect(msix.tableBar == 4)
    #expect(msix.table == 0x2000..<0x2410)
    #expect(msix.pendingBar == 2)
    #expect(msix.pending == 0x3000..<0x3010)  // 65 bits take two words of 64
    let largest = MSIXStructure(control: 0xffff, table: 0, pending: 0)
    #expect(largest.vectorCount == 2048)
    #expect(largest.pending.count == 256)
  }

  @Test func walksTheListToTheCapability() throws {
    let found = try find([
      0x06: 0x10, 0x34: 0x40, 0x40: 0x05, 0x41: 0x50, 0x50: 0x11, 0x51: 0x00, 0x52: 0x03, 0x54: 0x00, 0x55: 0x20,
      0x58: 0x00, 0x59: 0x30,
    ])
    #expect(found == MSIXStructure(control: 3, table: 0x2000, pending: 0x3000))
  }

  @Test func aDeviceWithoutIt() throws {
    #expect(try find([0x34: 0x40, 0x40: 0x11]) == nil)  // no capability list
    #expect(try find([0x06: 0x10, 0x34: 0x40, 0x40: 0x05]) == nil)
  }

  @Test func listsThatDoNotEnd() throws {
    #expect(try find([0x06: 0x10, 0x34: 0x40, 0x40: 0x05, 0x41: 0x40]) == nil)  // bites its tail
    #expect(try find([0x06: 0x10, 0x34: 0x40, 0x40: 0x05, 0x41: 0x20]) == nil)  // back into the header
    #expect(try find([0x06: 0x10, 0x34: 0xfc, 0xfc: 0x11]) == nil)  // no room for it
  }
}
