import CBulkhead
import Platform
import Testing

@testable import Emulation

/// Frames to the wire: gathering, checksums and segments that the NIC makes itself; interrupts.
@Suite struct NICTransmitTests {
  @Test(arguments: [14, 60, 1514, 9000], [17, 4096]) func sends(length: Int, piece: Int) throws {
    guard length / piece < 15 else { return }
    let host = try NICHost().start()
    let frame = NICFrame.plain(length, seed: length)
    try host.transmit(frame, piece: piece)
    let sent = try #require(host.sent())
    #expect(sent == frame + [UInt8](repeating: 0, count: max(0, 60 - length)))
    #expect(host.isDone(host.transmitTail - 1))
    #expect(host.memory32(0x3810) == UInt32(host.transmitTail), "TDH")
    #expect(host.transmitTail == 1 || !host.isDone(0), "only where RS asks for it")
  }

  @Test func goesRoundTheRing() throws {
    let host = try NICHost().start()
    for index in 0..<100 {
      try host.transmit(NICFrame.plain(64, seed: index))
      #expect(host.sent() == NICFrame.plain(64, seed: index))
    }
  }

  @Test func legacyDescriptors() throws {
    let host = try NICHost().start()
    let (frame, _, transport) = NICFrame.ip(version: 4, kind: 6, payload: 100, partial: true)
    frame.withUnsafeBytes {
      host.memory(NICHost.transmitBuffers).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
    }
    // EOP, IFCS, IC, RS; CSO 23:16, CSS 47:40.
    let options: UInt64 = 0xF << 24 | UInt64(transport + 16) << 16 | UInt64(transport) << 40
    host.place(NICHost.arena + UInt64(NICHost.transmitBuffers), UInt64(frame.count) | options)
    try host.ring()
    let sent = try #require(host.sent())
    #expect(NICFrame.isIntact(sent, version: 4, kind: 6, network: 14, transport: transport))
    #expect(host.isDone(0))
  }

  /// The context descriptor for a frame of ``NICFrame/ip(version:kind:payload:tagged:partial:segmented:)``.
  private func context(
    version: Int, kind: Int, network: Int, transport: Int, headers: Int = 0, payload: Int = 0, size: Int = 0
  ) -> (UInt64, UInt64) {
    let place = transport + (kind == 6 ? 16 : 6)
    let ip: UInt64 = version == 4 ? UInt64(network + 10) << 8 | UInt64(transport - 1) << 16 : 0
    let low = UInt64(network) | ip | UInt64(transport) << 32 | UInt64(place) << 40
    let kinds: UInt64 = (kind == 6 ? 1 << 24 : 0) | (version == 4 ? 1 << 25 : 0) | (size > 0 ? 1 << 26 : 0)
    return (low, UInt64(payload) | kinds | 1 << 29 | UInt64(headers) << 40 | UInt64(size) << 48)
  }

  @Test(arguments: [4, 6], [6, 17]) func insertsChecksums(version: Int, kind: Int) throws {
    let host = try NICHost().start()
    for tagged in [false, true] {
      var (frame, network, transport) = NICFrame.ip(
        version: version, kind: kind, payload: 201, tagged: tagged, partial: true)
      if version == 4 { NICFrame.put(&frame, network + 10, 0) }
      let (low, high) = context(version: version, kind: kind, network: network, transport: transport)
      host.place(low, high)
      // IXSM and TXSM.
      try host.transmit(frame, options: (version == 4 ? 3 : 2) << 40)
      let sent = try #require(host.sent())
      #expect(NICFrame.isIntact(sent, version: version, kind: kind, network: network, transport: transport))
      #expect(sent.count == frame.count)
    }
  }

  @Test(arguments: [4, 6], [6, 17]) func segments(version: Int, kind: Int) throws {
    let host = try NICHost().start()
    let payload = 10_000
    var (frame, network, transport) = NICFrame.ip(
      version: version, kind: kind, payload: payload, tagged: true, segmented: true)
    if kind == 6 { frame[transport + 13] |= 0x80 }
    let headers = frame.count - payload
    let (low, high) = context(
      version: version, kind: kind, network: network, transport: transport, headers: headers, payload: payload,
      size: 1400)
    host.place(low, high)
    try host.transmit(frame, options: (version == 4 ? 3 : 2) << 40 | 1 << 26)
    var got: [UInt8] = []
    for index in 0..<8 {
      let sent = try #require(host.sent())
      #expect(NICFrame.isIntact(sent, version: version, kind: kind, network: network, transport: transport))
      #expect(sent.count == headers + (index == 7 ? 200 : 1400))
      if version == 4 { #expect(Int(sent[network + 5]) == 0x34 + index, "identification") }
      if kind == 6 {
        #expect(Int(sent[transport + 6]) << 8 | Int(sent[transport + 7]) == 0x1000 + index * 1400, "sequence")
        #expect(sent[transport + 13] == (index == 7 ? 0x99 : 0x90), "FIN and PSH in the last one only, CWR in each")
      }
      got += sent[headers...]
    }
    #expect(host.sent() == nil)
    #expect(got == Array(frame[headers...]))
    #expect(try host.read(0x40F8) == 1, "TSCTC")
  }

  @Test func nonsenseInAContextHarmsNobody() throws {
    let host = try NICHost().start()
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<500 {
      host.place(generator.next(), generator.next() & ~(0xF << 20) | 1 << 29)
      try host.transmit(NICFrame.plain(60 + generator.below(3000)), options: generator.next() & (0x7 << 40 | 1 << 26))
      while host.sent() != nil {}
    }
    try host.write(0x0000, 1 << 26)
    try host.start()
    try host.transmit(NICFrame.plain(64))
    #expect(host.sent() == NICFrame.plain(64))
  }

  @Test func badAddressesAreFaults() throws {
    let host = try NICHost().start()
    host.place(0x6000_0000, 64 | 1 << 20 | 1 << 29 | 1 << 24 | 1 << 27)
    try host.ring()
    let fault = try #require(host.backing.faults.first)
    #expect(fault.address == 0x6000_0000 && fault.access == .deviceReads && fault.queue == 1)
    #expect(host.sent() == nil)
    try host.transmit(NICFrame.plain(64))
    #expect(host.sent() != nil, "only that frame is lost")
  }

  @Test func aFrameWithoutEndIsNotSent() throws {
    let host = try NICHost().start()
    for _ in 0..<200 {
      host.place(NICHost.arena, 0xFFFFF | 1 << 20 | 1 << 29)
      try host.ring()
    }
    host.place(NICHost.arena, 64 | 1 << 20 | 1 << 29 | 1 << 24)
    try host.ring()
    #expect(host.sent() == nil && host.backing.faultCount == 0)
    try host.transmit(NICFrame.plain(64))
    #expect(host.sent() != nil)
  }

  // MARK: Interrupts

  @Test func aMessageClearsAndMasksItsCause() throws {
    let host = try NICHost().start()
    try host.transmit(NICFrame.plain(64))
    #expect(host.interrupts(1) == 1 && host.interrupts(0) == 0)
    #expect(try host.read(0xD0) & 1 << 22 == 0, "EIAME")
    try host.transmit(NICFrame.plain(64))
    #expect(host.interrupts(1) == 0, "masked")
    try host.write(0xD0, 1 << 22)
    #expect(host.interrupts(1) == 1, "and remembered")
    try host.arrive(NICFrame.plain(64))
    #expect(host.interrupts(0) == 1)
    try host.transmit(NICFrame.plain(64))
    try host.write(0xC0, 1 << 22)
    try host.write(0xD0, 1 << 22)
    #expect(host.interrupts(1) == 0, "cleared by writing")
  }

  @Test func otherCausesWaitToBeRead() throws {
    let host = try NICHost().start()
    try host.write(0x0000, 0)
    #expect(host.interrupts(2) == 1, "link change")
    try host.write(0x0000, 1 << 6)
    #expect(host.interrupts(2) == 0, "once, until it is cleared")
    let causes = try host.read(0xC0)
    #expect(causes & 0x8100_0004 == 0x8100_0004)
    #expect(try host.read(0xC0) & 0x0100_0004 == 0, "cleared by reading")
    try host.write(0x0000, 0)
    #expect(host.interrupts(2) == 1)
    try host.write(0xC8, 1 << 22)
    #expect(host.interrupts(1) == 1, "ICS")
    try host.write(0xD8, .max)
    #expect(try host.read(0xD0) == 0)
  }

  @Test func throttles() throws {
    let host = try NICHost().start()
    // 20 ms, in units of 256 ns.
    try host.write(0xEC, 0xFFFF)
    try host.write(0xDC, 0)
    for _ in 0..<5 {
      try host.transmit(NICFrame.plain(64))
      try host.write(0xC0, 1 << 22)
    }
    #expect(host.interrupts(1) == 1)
    try host.transmit(NICFrame.plain(64))
    #expect(host.interrupts(1) == 0)
    #expect(try host.wait { host.interrupts(1) == 1 }, "later")
  }
}
