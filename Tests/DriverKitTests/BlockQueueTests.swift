import Glibc
import Testing
import Virtqueue

@testable import DriverKit

@Suite struct BlockQueueTests {
  @Test func parsesARead() throws {
    let world = try World()
    let device = world.makeDevice(world.grant, world.port)
    world.header(type: 0, flags: 1, unit: 3, sector: 9)
    world.submit([world.headerDescriptor, world.payload(4096, 1024, written: true), world.statusDescriptor()])
    let request = try #require(try device.queues[0].next())
    #expect(request.type == .read && request.unit == 3 && request.flags == .forceUnitAccess)
    #expect(request.sector == 9 && request.sectors == 2 && request.length == 1024)
    #expect(request.address == 0x2000_1000)
    #expect(try device.queues[0].next() == nil)
    #expect(device.queues[0].outstanding == 1)
  }

  @Test func parsesADiscard() throws {
    let world = try World()
    let device = world.makeDevice(world.grant, world.port)
    world.header(type: 11, sector: 1)
    let slot = world.rings + world.layout.slotsOffset
    slot.storeBytes(of: 0x1_0000_0000, toByteOffset: 16, as: UInt64.self)
    slot.storeBytes(of: UInt32.max, toByteOffset: 24, as: UInt32.self)
    world.submit([world.headerDescriptor, world.statusDescriptor()])
    let request = try #require(try device.queues[0].next())
    #expect(request.type == .discard && request.sector == 0x1_0000_0000 && request.sectors == UInt64(UInt32.max))
  }

  /// The last two are no device's: an errno of the driver's own that no device has, and no errno at all.
  @Test(arguments: [
    (Int32(0), UInt8(0), UInt32(1032), Int32(0)), (EIO, 1, 8, EIO), (ENODATA, 1, 8, ENODATA),
    (EOPNOTSUPP, 2, 8, EOPNOTSUPP), (ENOENT, 1, 8, EIO), (1 << 17, 1, 8, EIO),
  ])
  func completes(errno: Int32, status: UInt8, length: UInt32, cause: Int32) throws {
    let world = try World()
    let device = world.makeDevice(world.grant, world.port)
    world.header(type: 0, tag: 0xabcd_ef01)
    world.submit([world.headerDescriptor, world.payload(0, 1024, written: true), world.statusDescriptor()])
    let request = try #require(try device.queues[0].next())
    device.queues[0].complete(request, errno: errno)
    #expect(try world.guest.nextUsed() == nil, "not visible before the flush")
    _ = world.guest.enableCalls()
    device.queues[0].flush()
    let used = try #require(try world.guest.nextUsed())
    #expect(used.id == 0 && used.length == length)
    #expect(world.statusWord == UInt64(status) | UInt64(cause) << 16 | 0xabcd_ef01 << 32)
    #expect(EventDescriptor.drain(world.call) == 1)
  }

  /// Everything that is wrong with one chain, and where nothing may be written.
  enum Flaw: CaseIterable {
    case headerShort, headerWritable, headerOutside, headerMisaligned, headerInQueue, typeUnknown, payloadOutside
    case payloadBefore, payloadOverflow, payloadEmpty, payloadOdd, payloadReadOnly, payloadMissing, extraPayload
    case sectorOverflow
  }

  @Test(arguments: Flaw.allCases)
  func answersMalformedRequestsWithAnError(flaw: Flaw) throws {
    let world = try World()
    let device = world.makeDevice(world.grant, world.port)
    world.header(type: flaw == .typeUnknown ? 99 : 0, sector: flaw == .sectorOverflow ? .max : 0)
    var chain = [world.headerDescriptor, world.payload(0, 1024, written: true), world.statusDescriptor()]
    switch flaw {
    case .headerShort: chain[0].length = 35
    case .headerWritable: chain[0].flags = 3
    case .headerOutside: chain[0].address = world.slots + 4 * 64 - 8
    case .headerMisaligned: chain[0].address += 4
    case .headerInQueue: chain[0].address = AddressMap.rings
    case .payloadOutside: chain[1].address = AddressMap.payload + UInt64(World.payloadSize) - 512
    case .payloadBefore: chain[1].address = AddressMap.payload - 512
    case .payloadOverflow: chain[1].address = .max - 511
    case .payloadEmpty: chain[1].length = 0
    case .payloadOdd: chain[1].length = 1023
    case .payloadReadOnly: chain[1].flags = 1
    case .payloadMissing: chain = [chain[0], chain[2]]
    case .extraPayload: world.header(type: 4)
    case .typeUnknown, .sectorOverflow: break
    }
    world.submit(chain)
    #expect(try device.queues[0].next() == nil)
    device.queues[0].flush()
    #expect(try world.guest.nextUsed()?.length == 8)
    #expect(world.statusWord == 1 | UInt64(EINVAL) << 16)
    #expect(device.queues[0].counters.malformed == 1 && device.queues[0].outstanding == 0)
  }

  @Test(arguments: [
    VirtqueueDescriptor(address: 0xC000_0000, length: 8, flags: 2),
    VirtqueueDescriptor(address: 0x1000_0000, length: 8, flags: 2),
    VirtqueueDescriptor(address: 0xC000_1030, length: 8, flags: 0),
    VirtqueueDescriptor(address: 0xC000_1030, length: 16, flags: 2),
    VirtqueueDescriptor(address: .max - 7, length: 8, flags: 2),
    VirtqueueDescriptor(address: 0xC000_1030, length: 8, flags: 3, next: 0),
    VirtqueueDescriptor(address: 0xC000_1030, length: 8, flags: 3, next: 16),
    VirtqueueDescriptor(address: 0xC000_1030, length: 8, flags: 6),
  ])
  func writesNoStatusWhereNoneBelongs(status: VirtqueueDescriptor) throws {
    let world = try World()
    let device = world.makeDevice(world.grant, world.port)
    world.header(type: 4)
    world.submit([world.headerDescriptor, status])
    let before = (0..<world.layout.stride / 8).map { world.rings.load(fromByteOffset: $0 * 8, as: UInt64.self) }
    #expect(try device.queues[0].next() == nil)
    let after = (0..<world.layout.stride / 8).map { world.rings.load(fromByteOffset: $0 * 8, as: UInt64.self) }
    let used = world.layout.queue.usedOffset / 8
    #expect(zip(before, after).enumerated().allSatisfy { $0.offset >= used || $0.element.0 == $0.element.1 })
    #expect(after[world.layout.slotsOffset / 8 + 6] == 0)
    device.queues[0].flush()
    #expect(try world.guest.nextUsed()?.length == 0)
  }

  @Test func givesUpOnARingThatMakesNoSense() throws {
    let world = try World()
    let device = world.makeDevice(world.grant, world.port)
    (world.rings + world.layout.queue.availOffset + 2).storeBytes(of: 17, as: UInt16.self)
    #expect { try device.queues[0].next() } throws: { ($0 as? DriverFailure)?.code == .protocolError }
  }
}
