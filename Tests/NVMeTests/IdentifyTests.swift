import DriverKit
import Testing

@testable import NVMe

@Suite struct IdentifyTests {
  /// 4096 bytes with the given ones set.
  private func page(_ parts: [Int: [UInt8]]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 4096)
    for (offset, part) in parts { bytes.replaceSubrange(offset..<offset + part.count, with: part) }
    return bytes
  }

  private func controller(_ parts: [Int: [UInt8]]) -> ControllerIdentity {
    page(parts).withUnsafeBytes { ControllerIdentity($0) }
  }

  private func namespace(_ parts: [Int: [UInt8]]) -> NamespaceIdentity {
    page(parts).withUnsafeBytes { NamespaceIdentity($0) }
  }

  /// Offsets: NVMe 2.0 figure 275.
  @Test func controllerFields() {
    let identity = controller([
      0: [0x36, 0x1b], 4: Array("  S123   ".utf8), 24: Array("Model \u{1b}[2J  ".utf8), 64: Array("8.2.0   ".utf8),
      77: [7], 80: [0, 4, 1, 0], 88: [0x10, 0x27, 0, 0], 258: [3], 516: [0, 1, 0, 0], 520: [0x0c, 0], 525: [7],
      528: [7, 0], 536: [1, 0, 0, 0],
    ])
    #expect(identity.vendor == 0x1b36)
    #expect(identity.serial.hasPrefix("S123"))
    #expect(!identity.model.contains("\u{1b}") && identity.model.hasPrefix("Model ?[2J"))
    #expect(identity.firmware == "8.2.0")
    #expect(identity.maximumTransfer == 524_288)
    #expect(identity.version == 0x0001_0400)
    #expect(identity.shutdownTime == 10_000_000)
    #expect(identity.abortLimit == 4)
    #expect(identity.namespaces == 256)
    #expect(identity.supportsDeallocate && identity.supportsWriteZeroes && identity.hasVolatileCache)
    #expect(identity.atomicBlocks == 8)
    #expect(identity.sglSupport == 1)
  }

  @Test func absenceOfControllerFeatures() {
    let identity = controller([520: [0xf3, 0xff], 525: [0xfe]])
    #expect(!identity.supportsDeallocate && !identity.supportsWriteZeroes && !identity.hasVolatileCache)
    #expect(identity.maximumTransfer == nil && identity.atomicBlocks == 1 && identity.shutdownTime == 0)
  }

  /// Offsets: NVM Command Set 1.0 figure 97.
  @Test func namespaceFields() {
    let identity = namespace([
      0: [0, 0, 0x10], 24: [2], 26: [2], 33: [9], 36: [15, 0], 44: [1, 0], 99: [1], 104: [0xde, 0xad],
      120: [1, 2, 3, 4, 5, 6, 7, 8], 128 + 8: [0, 0, 12, 0],
    ])
    #expect(identity.blocks == 1 << 20 && identity.blockShift == 12 && identity.metadataSize == 0)
    #expect(identity.deallocatesToZeroes && identity.isWriteProtected && identity.hasAtomicBoundary)
    #expect(identity.atomicBlocks == 16)
    #expect(identity.guid == "dead" + String(repeating: "0", count: 28))
    #expect(identity.eui64 == "0102030405060708")
    #expect(identity.obstacle == nil)
  }

  @Test func namespaceAtomicsCountOnlyWhereDeclared() {
    let identity = namespace([0: [1], 36: [15, 0], 44: [1, 0], 128: [0, 0, 9, 0]])
    #expect(identity.atomicBlocks == nil && !identity.hasAtomicBoundary)
    #expect(identity.guid == nil && identity.eui64 == nil)
  }

  @Test(arguments: [
    (UInt8(0), UInt8(0x10), 0), (15, 0x65, 5), (16, 0x25, 0x15), (63, 0x6f, 0x3f),
  ])
  func selectsTheFormatInUse(formats: UInt8, selection: UInt8, index: Int) {
    let identity = namespace([0: [1], 25: [formats], 26: [selection], 128 + 4 * index: [0, 0, 12, 0]])
    #expect(identity.blockShift == 12)
  }

  @Test(arguments: [
    [128: [UInt8(0), 0, 9, 0]], [0: [1], 128: [8, 0, 9, 0]], [0: [1], 29: [1], 128: [0, 0, 9, 0]],
    [0: [1], 128: [0, 0, 8, 0]], [0: [1], 128: [0, 0, 17, 0]],
    [0: [UInt8](repeating: 0xff, count: 8), 128: [0, 0, 9, 0]],
  ])
  func refusesWhatCannotBeServed(parts: [Int: [UInt8]]) {
    #expect(namespace(parts).obstacle != nil)
  }

  @Test func deallocationNeedsBothBits() {
    for value in UInt8.min...(.max) {
      #expect(namespace([33: [value]]).deallocatesToZeroes == (value & 8 != 0 && value & 7 == 1))
    }
  }

  /// MDTS, the PRP list and the 16 bits of NLB each limit a transfer.
  @Test(arguments: [(UInt8(0), UInt8(9), UInt32(1 << 20)), (1, 9, 8192), (5, 12, 131_072), (12, 12, 1 << 20)])
  func transferLimit(exponent: UInt8, shift: UInt8, limit: UInt32) {
    let format = namespace([0: [8], 128: [0, 0, shift, 0]])
    #expect(Namespace(id: 1, format, controller([77: [exponent]])).maximumTransfer == limit)
  }

  @Test func nameWithoutIdentifiers() {
    let controller = controller([0: [0x36, 0x1b], 4: Array("foo".utf8) + [UInt8](repeating: 0x20, count: 17)])
    let format = namespace([0: [8], 128: [0, 0, 9, 0]])
    let unit = BlockUnit(index: 0, Namespace(id: 3, format, controller), format, controller)
    #expect(unit.worldWideName == "nvme.1b36-foo-3")
  }
}
