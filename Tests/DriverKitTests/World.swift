import Glibc
import Virtqueue

@testable import DriverKit

/// The broker's end of a driver's world, in memory: control socket, rings, eventfds.
final class World {
  static let payloadSize = 1 << 20

  let grant: DeviceGrant
  let layout = SlottedQueueLayout(queueSize: 16, slots: 4, slotSize: 64)
  let rings: UnsafeMutableRawPointer
  let broker: ControlChannel<BrokerMessage, DriverMessage>
  let port: ControlPort
  let kick: Int32
  let call: Int32
  let interrupt: Int32
  var guest: VirtqueueGuest
  private let arena: UnsafeMutableRawPointer

  init(spin: UInt32 = 0) throws {
    let (near, far) = try PacketSocket.pair()
    port = ControlPort(socket: near)
    broker = ControlChannel(socket: far)
    kick = try EventDescriptor.make().release()
    call = try EventDescriptor.make().release()
    interrupt = try EventDescriptor.make().release()
    rings = .allocate(byteCount: layout.stride, alignment: 4096)
    rings.initializeMemory(as: UInt8.self, repeating: 0, count: layout.stride)
    arena = .allocate(byteCount: 1 << 16, alignment: 4096)
    guest = VirtqueueGuest(memory: rings, layout: layout.queue)
    grant = DeviceGrant(
      deviceClass: .block, vendor: 1, device: 2, subsystemVendor: 3, subsystem: 4, revision: 5, interrupts: 1,
      queues: 1, queueSize: 16, arenaSize: 1 << 16, payloadSize: UInt32(Self.payloadSize), payloadMapped: false,
      spinMicroseconds: spin, bars: [])
  }

  deinit {
    for file in [port.socket, broker.socket, kick, call, interrupt] { close(file) }
    rings.deallocate()
    arena.deallocate()
  }

  func makeDevice(_ grant: DeviceGrant, _ control: ControlPort) -> Device {
    Device(
      grant: grant, control: control, bars: [nil],
      arena: DMAMemory(pointer: arena, address: AddressMap.arena, length: 1 << 16), rings: rings,
      interrupts: [interrupt], kicks: [kick], calls: [call])
  }

  /// What the driver has said so far, with the generation it said it in.
  func heard() throws -> [(UInt32, DriverMessage)] {
    var messages: [(UInt32, DriverMessage)] = []
    while case .message(let envelope, _) = try broker.receive() {
      messages.append((envelope.generation, envelope.message))
    }
    return messages
  }

  var slots: UInt64 { AddressMap.rings + UInt64(layout.slotsOffset) }

  /// Fills slot 0 with a header.
  func header(type: UInt32, flags: UInt16 = 0, unit: UInt16 = 0, sector: UInt64 = 0, tag: UInt32 = 77) {
    let slot = rings + layout.slotsOffset
    slot.storeBytes(of: type, as: UInt32.self)
    slot.storeBytes(of: unit, toByteOffset: 4, as: UInt16.self)
    slot.storeBytes(of: flags, toByteOffset: 6, as: UInt16.self)
    slot.storeBytes(of: sector, toByteOffset: 8, as: UInt64.self)
    slot.storeBytes(of: tag, toByteOffset: 32, as: UInt32.self)
  }

  /// A chain of descriptors 0, 1, ... made available.
  func submit(_ chain: [VirtqueueDescriptor]) {
    for (index, descriptor) in chain.enumerated() { guest.setDescriptor(index, descriptor) }
    guest.submit(head: 0)
    _ = guest.publish()
  }

  var headerDescriptor: VirtqueueDescriptor { VirtqueueDescriptor(address: slots, length: 36, flags: 1, next: 1) }

  func statusDescriptor() -> VirtqueueDescriptor { VirtqueueDescriptor(address: slots + 48, length: 8, flags: 2) }

  func payload(_ offset: UInt64, _ length: UInt32, written: Bool = false) -> VirtqueueDescriptor {
    VirtqueueDescriptor(address: AddressMap.payload + offset, length: length, flags: written ? 3 : 1, next: 2)
  }

  var statusWord: UInt64 { (rings + layout.slotsOffset + 48).load(as: UInt64.self) }
}
