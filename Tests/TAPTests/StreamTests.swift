import Glibc
import NamespaceRig
import Platform
import Testing

@testable import TAP

/// TCP between two namespaces, through two TAPs.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct StreamTests {
  private static let bytes = 4 << 20

  /// A sequence without a short period, so that a piece in the wrong place is seen.
  private static let pattern: [UInt8] = {
    var state: UInt32 = 0x9E37_79B9
    return (0..<bytes).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(state >> 24)
    }
  }()

  /// Sends the pattern from left to right and expects the same there.
  private func transfer(over wire: Wire) throws {
    var listener: Stream?
    var sender: Stream?
    try NamespaceRig.run(in: wire.right.namespace) { listener = try Stream.listening(port: 5001) }
    try NamespaceRig.run(in: wire.left.namespace) {
      sender = try Stream.connecting(to: 0xC000_0202, port: 5001)
    }
    let source = try #require(sender)
    let door = try #require(listener)
    var sink: Stream?
    var sent = 0
    var received: [UInt8] = []
    var idle = 0
    // 10 s without a frame is an end too.
    while idle < 100 {
      var progress = try wire.carry() > 0
      if sink == nil { sink = door.accepted() }
      if sent < Self.bytes {
        let taken = try source.send(Self.pattern[sent..<min(sent + 256 * 1024, Self.bytes)])
        sent += taken
        if taken > 0 { progress = true }
        if sent == Self.bytes { source.finish() }
      }
      if let part = try sink?.receive() {
        if part.isEmpty { break }
        received += part
        progress = true
      }
      idle = progress ? 0 : idle + 1
      if !progress { wire.wait(for: [door.file] + (sink.map { [$0.file] } ?? [])) }
    }
    #expect(received.count == Self.bytes)
    #expect(received == Self.pattern)
  }

  @Test("nothing is left undone where nothing was offered", arguments: [UInt32(1500), 9000])
  func withoutOffloads(mtu: UInt32) throws {
    let wire = try Wire(mtu: mtu, offloads: [])
    try transfer(over: wire)
    let traffic = wire.left.traffic
    #expect(traffic.largest == Int(mtu) + 14)
    #expect(traffic.unfinishedChecksums == 0 && traffic.segments == 0)
  }

  @Test("segments of up to 64 KiB cross in one piece", arguments: [UInt32(1500), 9000])
  func withOffloads(mtu: UInt32) throws {
    let wire = try Wire(mtu: mtu, offloads: [.checksum, .tso4, .tso6, .tsoECN])
    try transfer(over: wire)
    let traffic = wire.left.traffic
    #expect(traffic.largest > 2 * Int(mtu))
    #expect(traffic.segments > 0 && traffic.unfinishedChecksums >= traffic.segments)
    #expect(traffic.frames < Self.bytes / Int(mtu))
  }

  @Test func checksumsAlone() throws {
    let wire = try Wire(mtu: 1500, offloads: .checksum)
    try transfer(over: wire)
    let traffic = wire.left.traffic
    #expect(traffic.largest == 1514 && traffic.segments == 0 && traffic.unfinishedChecksums > Self.bytes / 1500)
  }
}
