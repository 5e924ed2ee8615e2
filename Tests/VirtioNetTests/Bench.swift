import DriverKit
import DriverRig

@testable import VirtioNet

/// The driver between a fake device and an outlet.
final class Bench: NetworkRig<VirtioNetDriver, FakeDevice> {
  static let address = HardwareAddress(0x52, 0x54, 0, 0, 0, 9)

  init(
    queueSize: Int = 256, options: [String] = [], interrupts: UInt8 = 3, granted: Int = 4,
    prepare: (FakeDevice) -> Void = { _ in }
  ) throws {
    // As much as the manifest asks for.
    let arena = FakeMemory(address: 0x1000_0000, length: 24 << 20)
    let fake = FakeDevice(memory: arena)
    var bars = [Bar?](repeating: nil, count: 6)
    bars[granted] = fake.bar()
    let grant = DeviceGrant(
      deviceClass: .network, vendor: 0x1AF4, device: 0x1041, subsystemVendor: 0, subsystem: 0, revision: 1,
      interrupts: interrupts, queues: 2, queueSize: UInt16(queueSize), arenaSize: UInt32(arena.length), payloadSize: 0,
      payloadMapped: false, spinMicroseconds: 0, bars: [])
    try super.init(
      grant: grant, arena: arena, fake: fake, address: Self.address, bars: bars, prepare: prepare
    ) { device in
      try VirtioNetDriver(device: device, options: Options(arguments: options)) { fake.readConfig($0, $1) }
    }
  }
}

/// Frames as tests need them.
enum Sample {
  /// Destination, source, EtherType, then bytes that depend on `seed`.
  static func frame(_ length: Int, seed: Int = 0) -> [UInt8] {
    (0..<length).map { $0 < 6 ? Bench.address[$0] : UInt8(truncatingIfNeeded: $0 &* 7 &+ seed &* 13) }
  }

  /// An IPv4 TCP segment, as far as a device looks: the TCP header begins at 34 and has `words` words.
  static func segment(_ length: Int, words: UInt8 = 5) -> [UInt8] {
    var bytes = frame(length)
    bytes[34 + 12] = words << 4
    return bytes
  }

  static func header(
    flags: UInt8 = 1, kind: UInt8 = 0, headers: Int = 54, size: Int = 0, start: Int = 34, offset: Int = 16,
    buffers: Int = 0
  ) -> [UInt8] {
    [flags, kind] + [headers, size, start, offset, buffers].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8 & 0xFF)] }
  }
}
