import CBulkhead
import Platform
import Testing

@testable import TAP

/// Numbers of the kernel's interface, against the literal values of its documentation and not against our own headers.
@Suite struct TAPTableTests {
  @Test func ioctls() {
    // In the order of bh_tap_ioctl_number. _IOR('T', 207, unsigned int) and so on (linux/if_tun.h).
    let numbers: [UInt] = [
      0x8004_54CF, 0x4004_54CA, 0x8004_54D2, 0x4004_54D9, 0x4004_54D8, 0x8004_54D7, 0x4004_54DC, 0x4004_54D0,
      0x4004_54E2, 0x4004_54D4, 0x8004_54D3, 0x4004_54CB, 0x54E3,
    ]
    for (index, number) in numbers.enumerated() { #expect(bh_tap_ioctl_number(UInt32(index)) == number) }
    #expect(bh_tap_ioctl_number(UInt32(numbers.count)) == 0)
  }

  @Test func flags() throws {
    let all: [(TAPFlags, UInt16)] = [
      (.tap, 2), (.napi, 0x10), (.noCarrier, 0x40), (.multiQueue, 0x100), (.attachQueue, 0x200), (.detachQueue, 0x400),
      (.persistent, 0x800), (.noPacketInformation, 0x1000), (.virtioHeader, 0x4000), (.exclusive, 0x8000),
    ]
    for (flag, value) in all { #expect(flag.rawValue == value) }
    // A kernel that knows everything, and an old one.
    #expect(try TAPQueue.flags(known: TAPFlags(rawValue: 0xFFFF)).rawValue == 0x5142, "no NAPI: see there")
    #expect(try TAPQueue.flags(known: [.tap, .noPacketInformation, .virtioHeader]).rawValue == 0x5002)
    let failure = try #require(throws: Failure.self) { try TAPQueue.flags(known: [.tap, .noPacketInformation]) }
    #expect(failure.code == "tap-features")
  }

  @Test func offloadsFollowWhatTheDriverAccepts() {
    #expect(TAPOffloads([]).rawValue == 0)
    #expect(TAPOffloads([.guestChecksum]).rawValue == 1)
    #expect(TAPOffloads([.guestChecksum, .guestTSO4, .guestTSO6, .guestECN]).rawValue == 0xF)
    #expect(TAPOffloads([.guestChecksum, .guestTSO6, .version1, .mergeableBuffers]).rawValue == 0x5)
    // Without checksums there is no segmentation, without segmentation no ECN, and USO goes in twos.
    #expect(TAPOffloads([.guestTSO4, .guestTSO6, .guestECN, .guestUSO4, .guestUSO6]).rawValue == 0)
    #expect(TAPOffloads([.guestChecksum, .guestECN, .guestUSO4]).rawValue == 1)
    #expect(TAPOffloads([.guestChecksum, .guestUSO4, .guestUSO6]).rawValue == 0x61)
  }

  @Test func features() {
    let all: [(VirtioNetFeatures, Int)] = [
      (.guestChecksum, 1), (.guestTSO4, 7), (.guestTSO6, 8), (.guestECN, 9), (.mergeableBuffers, 15), (.logAll, 26),
      (.vhostHeader, 27), (.indirect, 28), (.eventIndex, 29), (.version1, 32), (.accessPlatform, 33), (.guestUSO4, 54),
      (.guestUSO6, 55),
    ]
    for (feature, bit) in all { #expect(feature.rawValue == 1 << UInt64(bit)) }
  }
}
