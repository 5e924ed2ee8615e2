import DriverKit
import Testing

@testable import E1000E

/// Inbound TCP segments that become one frame for the outlet.
@Suite struct TrainTests {
  /// IPCS and TCPCS.
  private static let good: UInt64 = 0x60
  private static let whole = 10_000
  private static let size = 1400

  /// What a sender makes of one large segment: parts with their own lengths, sums and sequence numbers.
  private func segments(version: Int, tags: Int = 0) -> [[UInt8]] {
    let (frame, network, transport) = Sample.tcp(version: version, payload: Self.whole, tags: tags)
    let headers = Array(frame[..<(transport + 20)])
    let payload = Array(frame[(transport + 20)...])
    return stride(from: 0, to: payload.count, by: Self.size).enumerated().map { index, at in
      let part = Array(payload[at..<min(at + Self.size, payload.count)])
      var segment = headers + part
      let isLast = at + Self.size >= payload.count
      segment.put16(network + (version == 4 ? 2 : 4), UInt16(20 + part.count + (version == 4 ? 20 : 0)))
      if version == 4 {
        segment.put16(network + 4, UInt16(7 + index))
        segment.put16(network + 10, 0)
        segment.put16(network + 10, ~internetSum(segment[network..<network + 20]))
      }
      segment.put16(transport + 6, UInt16(at))
      segment[transport + 13] = isLast ? 0x18 : 0x10
      segment.put16(transport + 16, 0)
      let addresses = version == 4 ? segment[network + 12..<network + 20] : segment[network + 8..<network + 40]
      let length = segment.count - transport
      segment.put16(
        transport + 16,
        ~internetSum(Array(addresses) + [0, 6, UInt8(length >> 8), UInt8(length & 0xFF)] + segment[transport...]))
      return segment
    }
  }

  private func frames(_ segments: [[UInt8]], status: UInt64 = good, options: [String] = []) throws -> [Bench.Frame] {
    let bench = try Bench(options: options).start()
    for segment in segments {
      let isTaken = bench.fake.receive(segment, status: status)
      #expect(isTaken)
    }
    try bench.run()
    let frames = try bench.taken()
    try bench.run()
    #expect(bench.driver.inbound.outstanding == 0, "every buffer comes back")
    return frames
  }

  @Test(arguments: [4, 6], [0, 1]) func segmentsBecomeOneFrame(version: Int, tags: Int) throws {
    let (original, network, transport) = Sample.tcp(version: version, payload: Self.whole, tags: tags)
    let frames = try frames(segments(version: version, tags: tags))
    let frame = try #require(frames.first)
    #expect(frames.count == 1)
    #expect(frame.bytes.count == original.count && frame.bytes[(transport + 20)...] == original[(transport + 20)...])
    #expect(frame.header[0] == 1 && frame.header[1] == (version == 4 ? 1 : 4))
    func field(_ offset: Int) -> Int { Int(frame.header[offset]) | Int(frame.header[offset + 1]) << 8 }
    #expect(field(2) == transport + 20 && field(4) == Self.size && field(6) == transport && field(8) == 16)
    #expect(field(10) == 0)
    // The pseudo header's sum, as the kernel wants it, and IPv4's own checksum.
    #expect(frame.bytes[(transport + 16)..<(transport + 18)] == original[(transport + 16)..<(transport + 18)])
    if version == 4 { #expect(internetSum(frame.bytes[network..<network + 20]) == 0xFFFF) }
    #expect(frame.bytes[transport + 13] == 0x18, "pushed at its end")
  }

  @Test func whatIsNotNextIsNotJoined() throws {
    let all = segments(version: 4)
    let (_, network, transport) = Sample.tcp(version: 4, payload: 1)
    #expect(try frames([all[0], all[2]]).count == 2, "a segment is missing")
    #expect(try frames([all[0], all[0]]).count == 2, "the same again")
    for (name, change) in [
      ("acknowledgement", { $0[transport + 8] ^= 1 }), ("window", { $0[transport + 14] ^= 1 }),
      ("urgent", { $0[transport + 19] ^= 1 }), ("port", { $0[transport] ^= 1 }),
      ("address", { $0[network + 12] ^= 1 }), ("time to live", { $0[network + 8] ^= 1 }),
      ("type of service", { $0[network + 1] ^= 1 }), ("sender", { $0[6] ^= 1 }),
      ("fragment", { $0[network + 6] = 0x20 }), ("may be fragmented", { $0[network + 6] = 0 }),
      ("SYN", { $0[transport + 13] |= 2 }), ("FIN", { $0[transport + 13] |= 1 }),
      ("RST", { $0[transport + 13] |= 4 }), ("CWR", { $0[transport + 13] |= 0x80 }),
      ("not TCP", { $0[network + 9] = 17 }), ("padding", { $0 += [0] }),
    ] as [(String, (inout [UInt8]) -> Void)] {
      var second = all[1]
      change(&second)
      let frames = try frames([all[0], second])
      #expect(frames.count == 2, "\(name)")
      #expect(frames.map(\.bytes) == [all[0], second], "\(name): both as they came")
    }
  }

  @Test func aShortSegmentAndOneThatIsPushedEndATrain() throws {
    let all = segments(version: 4)
    let (_, _, transport) = Sample.tcp(version: 4, payload: 1)
    var pushed = all[1]
    pushed[transport + 13] = 0x18
    #expect(
      try frames([all[0], pushed, all[2], all[3]]).map(\.bytes.count) == [54 + 2 * Self.size, 54 + 2 * Self.size])
    #expect(try frames([all.last!, all[0]]).count == 2)
  }

  @Test func theOrderStays() throws {
    let all = segments(version: 4)
    let other = Sample.frame(200)
    let frames = try frames([all[0], all[1], other, all[2]])
    #expect(frames.map(\.bytes.count) == [54 + 2 * Self.size, 200, 54 + Self.size])
  }

  @Test func checksumsThatAreNotKnownToBeRightAreNotJoined() throws {
    let all = segments(version: 4)
    #expect(try frames(all, status: 0).map(\.bytes) == all)
    #expect(try frames(all, options: ["joining=0"]).map(\.bytes) == all)
    #expect(try frames(all, options: ["checksum=0"]).map(\.bytes) == all)
  }

  @Test func aTrainHasNoMoreThan64KiB() throws {
    let one = segments(version: 4)
    let (_, _, transport) = Sample.tcp(version: 4, payload: 1)
    // One connection that goes on and on: 60 full segments.
    let many = (0..<60).map { index in
      var segment = one[0]
      segment.put16(transport + 6, UInt16(truncatingIfNeeded: index * Self.size))
      segment.put16(transport + 4, UInt16(truncatingIfNeeded: (index * Self.size) >> 16))
      return segment
    }
    let frames = try frames(many)
    #expect(frames.map(\.bytes.count).max()! <= 14 + 65535)
    #expect(frames.reduce(0) { $0 + $1.bytes.count - 54 } == 60 * Self.size)
    #expect(frames.map { ($0.bytes.count - 54) / Self.size } == [46, 14])
  }
}
