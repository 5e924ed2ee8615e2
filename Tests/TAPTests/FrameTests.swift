import CBulkhead
import Glibc
import NamespaceRig
import Netlink
import Platform
import Protocol
import Testing

@testable import TAP

/// Real frames between this process and the kernel's network stack.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct FrameTests {
  private static let station: [UInt8] = [0x52, 0x54, 0, 0, 0, 1]
  private static let peer: [UInt8] = [0x52, 0x54, 0, 0, 0, 2]

  /// `bh0`, up, with carrier, 192.0.2.1/24 and no IPv6, so that nothing moves by itself.
  ///
  /// Carrier comes first: where it comes later, the kernel begins to send at a time of its own choice (its link watch),
  /// and drops what it has to say until then.
  private func makeInterface(queues: Int = 1) throws -> TAPInterface {
    let tap = try TAPInterface(name: InterfaceName("bh0"), queues: queues)
    let control = try LinkControl()
    let index = try #require(try control.link(named: "bh0")).index
    try NamespaceRig.run("ip", "link", "set", "bh0", "addrgenmode", "none")
    try tap.setCarrier(true)
    try control.change(index: index, LinkChange(address: HardwareAddress(octets: Self.station), isUp: true))
    try NamespaceRig.run("ip", "address", "add", "192.0.2.1/24", "dev", "bh0")
    return tap
  }

  private func send(_ frame: [UInt8], through queue: TAPQueue) -> Int {
    var bytes = [UInt8](repeating: 0, count: NetworkClass.headerSize) + frame
    return bytes.withUnsafeMutableBytes { buffer in
      var part = bh_part(base: buffer.baseAddress, length: buffer.count)
      return queue.send(&part, count: 1)
    }
  }

  /// The next frame with its header, which it waits for; a header and a frame in two buffers.
  private func receive(from queue: TAPQueue) throws -> (header: [UInt8], frame: [UInt8]) {
    var ready = pollfd(fd: queue.file, events: Int16(POLLIN), revents: 0)
    #expect(bh_ppoll(&ready, 1, 10_000_000_000) == 1)
    var header = [UInt8](repeating: 0xEE, count: NetworkClass.headerSize)
    var frame = [UInt8](repeating: 0, count: 65536 + 18)
    let got = header.withUnsafeMutableBytes { head in
      frame.withUnsafeMutableBytes { body in
        var parts = [
          bh_part(base: head.baseAddress, length: head.count), bh_part(base: body.baseAddress, length: body.count),
        ]
        return queue.receive(&parts, count: 2)
      }
    }
    try #require(got >= NetworkClass.headerSize + 14)
    return (header, Array(frame[..<(got - NetworkClass.headerSize)]))
  }

  private func isEmpty(_ queue: TAPQueue) -> Bool {
    var byte: UInt8 = 0
    return withUnsafeMutableBytes(of: &byte) { buffer in
      var part = bh_part(base: buffer.baseAddress, length: 1)
      return queue.receive(&part, count: 1) == -Int(EAGAIN)
    }
  }

  /// RFC 826: who has `target`? Tell 192.0.2.2.
  private func question(_ target: [UInt8]) -> [UInt8] {
    [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] + Self.peer + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1] + Self.peer + [192, 0, 2, 2]
      + [0, 0, 0, 0, 0, 0] + target
  }

  @Test func theKernelAnswersARP() throws {
    try NamespaceRig.run {
      let tap = try makeInterface()
      let asked = question([192, 0, 2, 1])
      #expect(send(asked, through: tap.queues[0]) == asked.count + NetworkClass.headerSize)
      let (header, frame) = try receive(from: tap.queues[0])
      #expect(header == [UInt8](repeating: 0, count: 12))
      #expect(
        frame == Self.peer + Self.station + [8, 6, 0, 1, 8, 0, 6, 4, 0, 2] + Self.station + [192, 0, 2, 1] + Self.peer
          + [192, 0, 2, 2])
      #expect(isEmpty(tap.queues[0]))
      let statistics = try #require(try LinkControl().link(named: "bh0")).statistics
      #expect(statistics.receivedPackets == 1 && statistics.receivedBytes == 42)
      #expect(statistics.sentPackets == 1 && statistics.sentBytes == 42)
    }
  }

  @Test func checksumsAreLeftToWhoOffersThem() throws {
    try NamespaceRig.run {
      let tap = try makeInterface()
      try NamespaceRig.run("ip", "neigh", "add", "192.0.2.2", "lladdr", "52:54:00:00:00:02", "dev", "bh0")
      // Not offered: the kernel has done it.
      try tap.setOffloads([])
      try Datagram.send(bytes: 100, to: 0xC000_0202)
      let (plain, finished) = try receive(from: tap.queues[0])
      #expect(plain[0] & 1 == 0 && finished.count == 142)
      #expect(sum(udpOf: finished) == 0xFFFF)
      // Offered: the header says where it is to be (flags, hdr_len, gso_size, csum_start, csum_offset).
      try tap.setOffloads([.checksum])
      try Datagram.send(bytes: 100, to: 0xC000_0202)
      let (header, unfinished) = try receive(from: tap.queues[0])
      #expect(header[0] & 1 == 1 && header[6] == 34 && header[7] == 0 && header[8] == 6 && header[9] == 0)
      #expect(sum(udpOf: unfinished) != 0xFFFF)
      #expect(unfinished.count == 142 && Array(unfinished[42...]) == [UInt8](repeating: 0xA5, count: 100))
    }
  }

  /// The ones' complement sum of a UDP datagram in an Ethernet frame, with its pseudo header: 0xFFFF where it is right.
  private func sum(udpOf frame: [UInt8]) -> UInt32 {
    let datagram = Array(frame[34...])
    let pseudo = Array(frame[26..<34]) + [0, 17, UInt8(datagram.count >> 8), UInt8(datagram.count & 0xFF)]
    let bytes = pseudo + datagram
    var sum: UInt32 = 0
    for at in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt32(bytes[at]) << 8 | (at + 1 < bytes.count ? UInt32(bytes[at + 1]) : 0)
    }
    while sum > 0xFFFF { sum = (sum & 0xFFFF) + sum >> 16 }
    return sum
  }

  @Test func aDetachedQueueGetsNothing() throws {
    try NamespaceRig.run {
      let tap = try makeInterface(queues: 2)
      try NamespaceRig.run("ip", "neigh", "add", "192.0.2.2", "lladdr", "52:54:00:00:00:02", "dev", "bh0")
      try tap.useQueues(1)
      // Each datagram comes from a port of its own: with two queues, 16 of them would hardly all go to one.
      for _ in 0..<16 { try Datagram.send(bytes: 10, to: 0xC000_0202) }
      for _ in 0..<16 { #expect(try receive(from: tap.queues[0]).frame.count == 52) }
      try tap.useQueues(2)
      #expect(isEmpty(tap.queues[1]))
    }
  }

  @Test func downMeansNo() throws {
    try NamespaceRig.run {
      let tap = try makeInterface()
      try NamespaceRig.run("ip", "link", "set", "bh0", "down")
      #expect(send(question([192, 0, 2, 1]), through: tap.queues[0]) == -Int(EIO))
      try NamespaceRig.run("ip", "link", "delete", "bh0")
      #expect(send(question([192, 0, 2, 1]), through: tap.queues[0]) == -Int(EBADFD))
      var byte: UInt8 = 0
      let got = withUnsafeMutableBytes(of: &byte) { buffer in
        var part = bh_part(base: buffer.baseAddress, length: 1)
        return tap.queues[0].receive(&part, count: 1)
      }
      #expect(got == -Int(EBADFD))
    }
  }

  @Test func headersThatContradictTheFrameAreRefusedByTheKernel() throws {
    try NamespaceRig.run {
      let tap = try makeInterface()
      let frame = question([192, 0, 2, 1])
      // NEEDS_CSUM with a place beyond the frame; a type of segmentation that does not exist; a size of 0.
      for header: [UInt8] in [
        [1, 0, 0, 0, 0, 0, 0xFF, 0xFF, 6, 0, 0, 0], [0, 0x55, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 54, 0, 0, 0, 34, 0, 16, 0, 0, 0],
      ] {
        var bytes = header + frame
        let sent = bytes.withUnsafeMutableBytes { buffer in
          var part = bh_part(base: buffer.baseAddress, length: buffer.count)
          return tap.queues[0].send(&part, count: 1)
        }
        #expect(sent == -Int(EINVAL))
      }
      // Too short for a header, and for a frame.
      #expect(send([], through: tap.queues[0]) == -Int(EINVAL))
      #expect(send([UInt8](repeating: 1, count: 13), through: tap.queues[0]) == -Int(EINVAL))
      #expect(isEmpty(tap.queues[0]))
    }
  }
}
