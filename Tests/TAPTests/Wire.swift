import CBulkhead
import Glibc
import NamespaceRig
import Netlink
import Platform
import Protocol
import Testing

@testable import TAP

/// Two namespaces whose TAPs this process connects: what comes out of one goes into the other, header and all.
final class Wire {
  /// What has crossed in one direction.
  struct Traffic {
    var frames = 0
    /// The largest frame in bytes, without its header.
    var largest = 0
    /// Frames whose checksum, or whose segmentation, was left to the other side.
    var unfinishedChecksums = 0
    var segments = 0
  }

  final class End {
    let namespace: NetworkNamespace
    let tap: TAPInterface
    /// What has come out of it.
    var traffic = Traffic()

    /// - Parameter number: the last octet of its addresses: 192.0.2.N and 52:54:00:00:00:N.
    init(number: UInt8, mtu: UInt32, offloads: TAPOffloads) throws {
      namespace = try NetworkNamespace.make()
      var made: TAPInterface?
      try NamespaceRig.run(in: namespace) {
        let tap = try TAPInterface(name: InterfaceName("bh0"))
        try tap.setOffloads(offloads)
        try tap.setCarrier(true)
        let control = try LinkControl()
        let index = try #require(try control.link(named: "bh0")).index
        try NamespaceRig.run("ip", "link", "set", "bh0", "addrgenmode", "none")
        try control.change(
          index: index, LinkChange(address: HardwareAddress(0x52, 0x54, 0, 0, 0, number), mtu: mtu, isUp: true))
        try NamespaceRig.run("ip", "address", "add", "192.0.2.\(number)/24", "dev", "bh0")
        made = tap
      }
      tap = try #require(made)
    }

    var queue: TAPQueue { tap.queues[0] }
  }

  let left: End
  let right: End
  private var frame = [UInt8](repeating: 0, count: NetworkClass.headerSize + NetworkClass.maximumSegmentedFrame + 1)

  init(mtu: UInt32, offloads: TAPOffloads) throws {
    left = try End(number: 1, mtu: mtu, offloads: offloads)
    right = try End(number: 2, mtu: mtu, offloads: offloads)
  }

  /// Moves all that there is now. Returns how many frames that was.
  func carry() throws -> Int { try carry(from: left, to: right) + carry(from: right, to: left) }

  private func carry(from source: End, to target: End) throws -> Int {
    var count = 0
    while true {
      let got = frame.withUnsafeMutableBytes { buffer in
        var part = bh_part(base: buffer.baseAddress, length: buffer.count)
        return source.queue.receive(&part, count: 1)
      }
      if got == -Int(EAGAIN) { return count }
      guard got > NetworkClass.headerSize, got < frame.count else { throw Failure("rig", "receive a frame: \(got)") }
      count += 1
      source.traffic.frames += 1
      source.traffic.largest = max(source.traffic.largest, got - NetworkClass.headerSize)
      if frame[NetworkClass.flagsOffset] & NetworkClass.flagNeedsChecksum != 0 {
        source.traffic.unfinishedChecksums += 1
      }
      if frame[NetworkClass.segmentationOffset] != 0 { source.traffic.segments += 1 }
      let sent = frame.withUnsafeMutableBytes { buffer in
        var part = bh_part(base: buffer.baseAddress, length: got)
        return target.queue.send(&part, count: 1)
      }
      guard sent == got else { throw Failure("rig", "send a frame of \(got) bytes: \(sent)") }
    }
  }

  /// Waits until a frame comes, or one of `files` has something to read, or a while has gone by.
  func wait(for files: [Int32]) {
    var polled = ([left.queue.file, right.queue.file] + files).map {
      pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
    }
    _ = bh_ppoll(&polled, UInt64(polled.count), 100_000_000)
  }
}
