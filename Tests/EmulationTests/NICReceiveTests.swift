import CBulkhead
import Platform
import Testing

@testable import Emulation

/// Frames from the wire: filters, rings, checksums that are really looked at.
@Suite struct NICReceiveTests {
  static let broadcast = [UInt8](repeating: 255, count: 6)

  @Test(arguments: [14, 60, 61, 1514, 1518]) func receives(length: Int) throws {
    let host = try NICHost().start()
    let frame = NICFrame.plain(length)
    try host.arrive(frame)
    let got = try #require(try host.take())
    #expect(got.length == max(60, length) && got.status & 3 == 3 && got.errors == 0)
    #expect(Array(got.bytes[..<length]) == frame)
    #expect(host.memory32(0x2810) == 1, "RDH")
  }

  @Test func handsTheCheckSequenceOnIfItIsWanted() throws {
    let host = try NICHost().start()
    try host.write(0x100, 1 << 15 | 1 << 1)
    try host.arrive(NICFrame.plain(100))
    let got = try #require(try host.take())
    #expect(got.length == 104)
    // A frame with its check sequence has this remainder (IEEE 802.3 section 3.2.9).
    let all = got.bytes.withUnsafeBytes { bh_frame_check_sequence($0.baseAddress, 104) }
    #expect(~all == 0xDEBB_20E3)
  }

  @Test func longFramesNeedLPE() throws {
    let host = try NICHost().start()
    try host.arrive(NICFrame.plain(1519))
    #expect(try host.take() == nil)
    #expect(try host.read(0x40AC) == 1, "ROC")
    try host.start(receive: 1 << 15 | 1 << 5)
    let frame = NICFrame.plain(9018)
    try host.arrive(frame)
    var bytes: [UInt8] = []
    for piece in 0..<5 {
      let got = try #require(try host.take())
      #expect(got.status & 2 == (piece == 4 ? 2 : 0), "EOP in the last one only")
      #expect(got.length == (piece == 4 ? 9018 - 4 * 2048 : 2048))
      bytes += got.bytes
    }
    #expect(bytes == frame)
    try host.arrive(NICFrame.plain(9231))
    #expect(try host.take() == nil)
  }

  @Test func filters() throws {
    let other: [UInt8] = [2, 0, 0, 0, 0, 9]
    let group: [UInt8] = [0x33, 0x33, 0xFF, 0xAB, 0xCD, 0xEF]
    func takes(_ control: UInt32, _ destination: [UInt8], prepare: (NICHost) throws -> Void = { _ in }) throws -> Int? {
      let host = try NICHost().start(receive: control)
      try prepare(host)
      try host.arrive(NICFrame.plain(64, to: destination))
      return try host.take().map { Int($0.status >> 7) }
    }
    #expect(try takes(0, NICHost.address) == 0)
    #expect(try takes(0, other) == nil)
    #expect(try takes(1 << 3, other) == 1, "promiscuous; PIF says so")
    #expect(try takes(0, Self.broadcast) == nil)
    #expect(try takes(1 << 15, Self.broadcast) == 0)
    #expect(try takes(0, group) == nil)
    #expect(try takes(1 << 4, group) == 1)
    // MO 0: bits 47:36 are 0xEF and the upper half of 0xCD.
    for (offset, bit) in [(0, 0xEFC), (1, 0xDF9), (2, 0xBF3), (3, 0xFCD)] {
      let control = UInt32(offset) << 12
      #expect(try takes(control, group) { try $0.write(0x5200 + bit / 32 * 4, 1 << UInt32(bit % 32)) } == 1)
      #expect(try takes(control, group) { try $0.write(0x5200 + bit / 32 * 4, ~(1 << UInt32(bit % 32))) } == nil)
    }
    let second: (NICHost) throws -> Void = { host in
      try host.write(0x5408, 0x0000_0002)
      try host.write(0x540C, 0x8000_0900)
    }
    #expect(try takes(0, other, prepare: second) == 0)
  }

  @Test func filtersTags() throws {
    let (frame, _, _) = NICFrame.ip(version: 4, kind: 6, payload: 10, tagged: true)
    let host = try NICHost().start(receive: 1 << 18)
    try host.arrive(frame)
    #expect(try host.take() == nil)
    try host.write(0x5600, 1 << 7)
    try host.arrive(frame)
    #expect(try host.take()?.bytes == frame, "the tag stays in the frame")
  }

  @Test(arguments: [4, 6], [6, 17]) func checksums(version: Int, kind: Int) throws {
    let host = try NICHost().start()
    for tagged in [false, true] {
      let (frame, network, transport) = NICFrame.ip(version: version, kind: kind, payload: 333, tagged: tagged)
      #expect(NICFrame.isIntact(frame, version: version, kind: kind, network: network, transport: transport))
      try host.arrive(frame)
      let good = try #require(try host.take())
      let checked: UInt8 = (version == 4 ? 0x40 : 0) | (kind == 6 ? 0x20 : 0x30)
      #expect(good.status == 3 | checked && good.errors == 0)
      var damaged = frame
      damaged[transport + 30] ^= 4
      try host.arrive(damaged)
      let bad = try #require(try host.take())
      #expect(bad.status == 3 | checked && bad.errors == 0x20, "TCPE")
      if version == 4 {
        damaged = frame
        damaged[network + 8] ^= 1
        try host.arrive(damaged)
        #expect(try host.take()?.errors == 0x40, "IPE")
      }
      try host.give(version == 4 ? 3 : 2)
    }
  }

  @Test func leavesChecksumsAloneThatItCannotKnow() throws {
    let host = try NICHost().start()
    try host.arrive(NICFrame.plain(100))
    #expect(try host.take()?.status == 7, "IXSM")
    var fragment = NICFrame.ip(version: 4, kind: 17, payload: 64).frame
    NICFrame.put(&fragment, 20, 0x2000)
    NICFrame.put(&fragment, 24, 0)
    NICFrame.put(&fragment, 24, ~NICFrame.sum(fragment[14..<34]))
    try host.arrive(fragment)
    #expect(try host.take()?.status == 0x43)
    var bare = NICFrame.ip(version: 4, kind: 17, payload: 64).frame
    NICFrame.put(&bare, 40, 0)
    try host.arrive(bare)
    #expect(try host.take()?.status == 0x43, "UDP without checksum")
    // Behind the packet there is padding, which is in no sum.
    let short = NICFrame.ip(version: 4, kind: 6, payload: 1).frame + [9, 9, 9, 9, 9]
    try host.arrive(short)
    #expect(try host.take()?.status == 0x63)
    let off = try NICHost().start(checksum: 0)
    try off.arrive(NICFrame.ip(version: 4, kind: 6, payload: 10).frame)
    #expect(try off.take()?.status == 7)
  }

  @Test func packetChecksum() throws {
    let host = try NICHost().start(checksum: 14)
    let frame = NICFrame.plain(77)
    try host.arrive(frame)
    #expect(try host.take()?.checksum == NICFrame.sum(frame[14...]))
    try host.write(0x5000, 1 << 13)
    try host.arrive(frame)
    #expect(try host.take()?.checksum == 0)
  }

  @Test func extendedDescriptors() throws {
    let host = try NICHost().start(filter: 1 << 15)
    var frame = NICFrame.ip(version: 4, kind: 6, payload: 50).frame
    try host.arrive(frame)
    frame[60] ^= 1
    try host.arrive(frame)
    let first = (bh_load64(host.memory(0)), bh_load64(host.memory(8)))
    #expect(first.0 & 0xFFFF_FFFF == 0 && first.1 == UInt64(frame.count) << 32 | 0x63)
    #expect(bh_load64(host.memory(24)) == UInt64(frame.count) << 32 | 0x2000_0000 | 0x63, "TCPE")
  }

  @Test func aFullRingLeavesFramesOnTheWire() throws {
    let host = try NICHost().start()
    for index in 0..<20 { try host.arrive(NICFrame.plain(64, seed: index)) }
    for index in 0..<15 { #expect(try host.take()?.bytes == NICFrame.plain(64, seed: index)) }
    #expect(try host.take() == nil)
    try host.give(8)
    try host.turn()
    try host.turn()
    for index in 15..<20 { #expect(try host.take()?.bytes == NICFrame.plain(64, seed: index)) }
    #expect(try host.read(0x4010) == 0)
  }

  @Test func aFrameThatNeedsMoreThanThereIsWaits() throws {
    let host = try NICHost().start(receive: 1 << 15 | 1 << 5)
    for _ in 0..<12 { try host.arrive(NICFrame.plain(64)) }
    try host.arrive(NICFrame.plain(9000))
    #expect(try [0x4010, 0x40A0].map { try host.read($0) } == [0, 1], "RNBC")
    #expect(try host.read(0x00C0) & 0x0100_0040 == 0x0100_0040, "RXO, by way of OTHER")
    try host.give(2)
    #expect(host.memory32(0x2810) == 1, "round the ring")
  }

  @Test func aFrameThatTheRingCannotHoldIsMissed() throws {
    let host = try NICHost().start(receive: 1 << 15 | 1 << 5 | 3 << 16)
    try host.arrive(NICFrame.plain(9000))
    #expect(try host.read(0x4010) == 1, "MPC")
    try host.arrive(NICFrame.plain(64))
    #expect(try host.take() != nil)
  }

  @Test func nothingIsReceivedUnlessItIsEnabled() throws {
    let host = try NICHost().start()
    try host.write(0x100, 0)
    try host.arrive(NICFrame.plain(64))
    #expect(try host.take() == nil)
    try host.backing.setBusMaster(false)
    try host.write(0x100, 1 << 26 | 1 << 1)
    try host.turn()
    #expect(try host.take() == nil && host.backing.faultCount == 0)
  }

  @Test func badAddressesAreFaults() throws {
    let host = try NICHost().start()
    bh_store64(host.memory(0), 0x6000_0000)
    try host.arrive(NICFrame.plain(64))
    #expect(host.backing.faultCount == 1)
    let fault = try #require(host.backing.faults.first)
    #expect(fault.address == 0x6000_0000 && fault.access == .deviceWrites && fault.queue == 0 && fault.command == 0)
    #expect(try host.take()?.status == 7, "the NIC does not hear of it")
    bh_store64(host.memory(16), NICHost.arena + UInt64(NICHost.arenaSize) - 32)
    try host.arrive(NICFrame.plain(64))
    #expect(host.backing.faults.last?.reason == .straddles)
    try host.write(0x100, 0)
    try host.write(0x2800, 0x7000_0000)
    try host.write(0x2810, 0)
    try host.write(0x100, 1 << 26 | 1 << 1)
    try host.arrive(NICFrame.plain(64))
    #expect(host.backing.faults.last?.address == 0x7000_0000)
    let count = host.backing.faultCount
    try host.arrive(NICFrame.plain(64))
    #expect(host.backing.faultCount == count, "without descriptors it stops until it is reset")
  }

  @Test(arguments: [16 as UInt32, 0xFFFF, 0x1000_0000]) func aTailOutsideTheRingIsNone(tail: UInt32) throws {
    let host = try NICHost().start()
    try host.write(0x2818, tail)
    try host.arrive(NICFrame.plain(64))
    if tail & 0xFFFF >= 16 { #expect(try host.take() == nil) }
    #expect(host.backing.faultCount == 0)
  }
}
