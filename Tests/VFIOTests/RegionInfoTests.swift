import Platform
import Testing

@testable import VFIO

@Suite struct RegionInfoTests {
  @Test func plainRegion() throws {
    let info = try RegionInfo(
      parsing: InfoBytes.region(flags: mappable, index: 2, size: 0x4000, offset: 2 << 40).bytes)
    #expect(info.index == 2)
    #expect(info.size == 0x4000)
    #expect(info.fileOffset == 2 << 40)
    #expect(info.isMappable && info.isReadable && info.isWritable)
    #expect(info.sparseAreas == nil)
    #expect(!info.isMSIXMappable)
  }

  @Test func sparseAreasAndMSIXMappable() throws {
    let bytes =
      InfoBytes.region(flags: mappableWithCapabilities, capabilities: 32, size: 0x10000)
      + .capability(1, next: 80) + .u32(2, 0) + .u64(0, 0x2000, 0x8000, 0x1000) + .capability(3, next: 0)
    let info = try RegionInfo(parsing: bytes.bytes)
    #expect(info.sparseAreas == [0..<0x2000, 0x8000..<0x9000])
    #expect(info.isMSIXMappable)
  }

  @Test func aChainIsIgnoredWithoutItsFlag() throws {
    let info = try RegionInfo(parsing: InfoBytes.region(flags: mappable, capabilities: 5, size: 4096).bytes)
    #expect(info.sparseAreas == nil)
  }

  @Test func noAreasMeansNothingCanBeMapped() throws {
    let bytes =
      InfoBytes.region(flags: mappableWithCapabilities, capabilities: 32, size: 0x10000) + .capability(1, next: 0)
      + .u32(0, 0)
    #expect(try RegionInfo(parsing: bytes.bytes).sparseAreas == [])
  }

  @Test(
    "sparse areas outside the answer or the region are refused",
    arguments: [
      [1],  // no room for the count's companion
      [1, 0, 0, 0],  // half an area
      [.max, 0, 0, 0, 0x1000, 0],  // more than there are
      [1, 0, 0x10000, 0, 0x1000, 0],  // behind the region
      [1, 0, 0xf000, 0, 0x2000, 0],  // across its end
      [1, 0, 0xffff_f000, .max, 0x2000, 0],  // wraps around
    ] as [[UInt32]])
  func hostileSparseAreas(contents: [UInt32]) {
    let bytes =
      InfoBytes.region(flags: mappableWithCapabilities, capabilities: 32, size: 0x10000) + .capability(1, next: 0)
      + .words(contents)
    #expect(throws: Failure.self) { try RegionInfo(parsing: bytes.bytes) }
  }

  @Test func truncatedAndWrappingRegionsAreRefused() {
    #expect(throws: Failure.self) { try RegionInfo(parsing: [UInt8](repeating: 0, count: 31)) }
    #expect(throws: Failure.self) {
      try RegionInfo(parsing: InfoBytes.region(flags: mappable, size: .max, offset: 1).bytes)
    }
  }
}

@Suite struct IOMMUInfoTests {
  private func info(_ flags: UInt32, _ capabilities: UInt32, _ rest: InfoBytes = InfoBytes()) throws -> IOMMUInfo {
    try IOMMUInfo(parsing: (InfoBytes.u32(0, flags) + .u64(0x4020_1000) + .u32(capabilities, 0) + rest).bytes)
  }

  @Test func pageSizesRangesAndFreeMappings() throws {
    let info = try info(
      3, 24,
      .capability(1, next: 72) + .u32(2, 0) + .u64(0, 0xfedf_ffff, 0xfef0_0000, 0x7f_ffff_ffff)
        + .capability(3, next: 0) + .u32(65535))
    #expect(info.smallestPage == 4096)
    #expect(info.ranges == [0...0xfedf_ffff, 0xfef0_0000...0x7f_ffff_ffff])
    #expect(info.availableMappings == 65535)
    #expect(info.contains(iova: 0xfedf_f000, size: 0x1000))
    #expect(!info.contains(iova: 0xfedf_f000, size: 0x2000))
    #expect(!info.contains(iova: 0xfee0_0000, size: 0x1000))
    #expect(!info.contains(iova: .max - 0xfff, size: 0x2000))
    #expect(!info.contains(iova: 0, size: 0))
  }

  @Test func olderKernelsSayLess() throws {
    let info = try info(0, 0)
    #expect(info.pageSizes == 0)
    #expect(info.smallestPage == 4096)
    #expect(info.availableMappings == nil)
    #expect(info.contains(iova: 0x1000, size: 0x1000))
  }

  @Test(
    "ranges that do not fit or end before they begin are refused",
    arguments: [
      (1, []),
      (1, [1, 0, 0, 0]),  // half a range
      (1, [0x1000_0001, 0, 0, 0, 1, 0]),  // more than there are; times 16 wraps around in 32 bits
      (1, [1, 0, 2, 0, 1, 0]),
      (3, []),
    ] as [(UInt16, [UInt32])])
  func hostileInfo(capability: UInt16, contents: [UInt32]) {
    #expect(throws: Failure.self) { try info(3, 24, .capability(capability, next: 0) + .words(contents)) }
  }
}

@Suite struct HotResetPeerTests {
  @Test func parsesEachFunction() throws {
    let bytes = InfoBytes.u32(0, 0, 2) + .u32(7) + .u16(1, 0x0a03) + .u32(8) + .u16(0, 0xff00)
    #expect(
      try HotResetPeer.parse(bytes.bytes) == [
        HotResetPeer(group: 7, domain: 1, bus: 3, device: 1, function: 2),
        HotResetPeer(group: 8, domain: 0, bus: 0, device: 31, function: 7),
      ])
  }

  @Test func moreThanTheAnswerHoldsIsRefused() {
    #expect(throws: Failure.self) { try HotResetPeer.parse(InfoBytes.u32(0, 0, 2, 7, 0).bytes) }
    #expect(throws: Failure.self) { try HotResetPeer.parse(InfoBytes.u32(0, 0, .max).bytes) }
    #expect(throws: Failure.self) { try HotResetPeer.parse(InfoBytes.u32(0, 0).bytes) }
  }
}
