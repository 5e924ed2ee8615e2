import DriverKit
import DriverRig

@testable import E1000E

/// The driver between a fake NIC and an outlet.
final class Bench: NetworkRig<E1000EDriver, FakeAdapter> {
  static let address = HardwareAddress(0x52, 0x54, 0x00, 0x12, 0x34, 0x56)

  init(
    queueSize: Int = 256, options: [String] = [], interrupts: UInt8 = 3, deviceID: UInt16 = 0x10D3,
    prepare: (FakeAdapter) -> Void = { _ in }
  ) throws {
    // As much as the manifest asks for.
    let arena = FakeMemory(address: 0x1000_0000, length: 20 << 20)
    let fake = FakeAdapter(memories: [arena])
    let grant = DeviceGrant(
      deviceClass: .network, vendor: 0x8086, device: deviceID, subsystemVendor: 0, subsystem: 0, revision: 0,
      interrupts: interrupts, queues: 2, queueSize: UInt16(queueSize), arenaSize: UInt32(arena.length),
      payloadSize: 4096, payloadMapped: false, spinMicroseconds: 0, bars: [])
    try super.init(
      grant: grant, arena: arena, fake: fake, address: Self.address, bars: [fake.bar()], prepare: prepare
    ) { device in
      try E1000EDriver(device: device, options: Options(arguments: options))
    }
  }
}

/// Frames as tests need them.
enum Sample {
  /// Destination, source, EtherType, then bytes that depend on `seed`.
  static func frame(
    _ length: Int, to destination: HardwareAddress = Bench.address, seed: Int = 0, type: UInt16 = 0x88B5
  ) -> [UInt8] {
    var frame = (0..<6).map { destination[$0] } + [2, 0, 0, 0, 0, 1, UInt8(type >> 8), UInt8(type & 0xFF)]
    frame += (14..<max(14, length)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ seed &* 13) }
    return frame
  }

  /// virtio header that asks for a checksum, and for segments of `size` bytes if that is not 0.
  static func header(start: Int, offset: Int, kind: UInt8 = 0, size: Int = 0, flags: UInt8 = 1) -> [UInt8] {
    func little(_ value: Int) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8 & 0xFF)] }
    return [flags, kind] + little(start + 20) + little(size) + little(start) + little(offset) + [1, 0]
  }

  /// A TCP segment over IPv4 or IPv6, behind `tags` VLAN tags, with the pseudo header's sum where the checksum belongs.
  static func tcp(version: Int, payload: Int, tags: Int = 0) -> (frame: [UInt8], network: Int, transport: Int) {
    var frame = Array(Sample.frame(14)[..<12])
    for tag in 0..<tags { frame += [0x81, 0x00, 0x00, UInt8(5 + tag)] }
    frame += version == 4 ? [0x08, 0x00] : [0x86, 0xDD]
    let network = frame.count
    let addresses: [UInt8]
    let length = 20 + payload
    if version == 4 {
      addresses = [192, 168, 1, 2, 192, 168, 1, 3]
      frame += [0x45, 0] + [UInt8((length + 20) >> 8), UInt8((length + 20) & 0xFF)] + [0x12, 0x34, 0x40, 0, 64, 6]
      frame += [0, 0] + addresses
      frame.put16(network + 10, ~internetSum(frame[network..<network + 20]))
    } else {
      addresses = (0..<32).map { UInt8($0 * 5 + 1) }
      frame += [0x60, 0, 0, 0, UInt8(length >> 8), UInt8(length & 0xFF), 6, 64] + addresses
    }
    let transport = frame.count
    frame += [0x1F, 0x90, 0x9C, 0x40, 0, 0, 0x10, 0, 0, 0, 0x20, 0, 0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]
    frame += (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ $0 >> 8) }
    frame.put16(transport + 16, internetSum(addresses + [0, 6, UInt8(length >> 8), UInt8(length & 0xFF)]))
    return (frame, network, transport)
  }

  /// Whether the TCP checksum of a whole segment is right.
  static func hasGoodChecksum(_ frame: [UInt8], version: Int, network: Int, transport: Int) -> Bool {
    let addresses = version == 4 ? frame[network + 12..<network + 20] : frame[network + 8..<network + 40]
    let length = frame.count - transport
    let pseudo = Array(addresses) + [0, 6, UInt8(length >> 8), UInt8(length & 0xFF)]
    return internetSum(pseudo + frame[transport...]) == 0xFFFF
  }
}
