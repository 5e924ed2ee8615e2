import CBulkhead
import Glibc
import Platform
import Testing

@testable import TAP

@Suite struct VhostLayoutTests {
  @Test func ioctls() {
    // In the order of bh_vhost_ioctl_number: direction, size of the argument, 0xAF, number (linux/vhost.h).
    let numbers: [UInt] = [
      0x0000_AF01, 0x8008_AF00, 0x4008_AF00, 0x4008_AF03, 0x4008_AF10, 0x4028_AF11, 0x4008_AF12, 0xC008_AF12,
      0x4008_AF20, 0x4008_AF21, 0x4008_AF22, 0x4008_AF23, 0x4008_AF30,
    ]
    for (index, number) in numbers.enumerated() { #expect(bh_vhost_ioctl_number(UInt32(index)) == number) }
    #expect(bh_vhost_ioctl_number(UInt32(numbers.count)) == 0)
  }

  @Test func sizes() {
    #expect((0..<6).map { bh_vhost_size(UInt32($0)) } == [8, 32, 8, 40, 8, 0])
    #expect(MemoryLayout<bh_vhost_region>.size == 32)
    #expect(MemoryLayout<bh_vhost_region>.offset(of: \.address) == 0)
    #expect(MemoryLayout<bh_vhost_region>.offset(of: \.size) == 8)
    #expect(MemoryLayout<bh_vhost_region>.offset(of: \.base) == 16)
  }

  /// Each call gets as far as the kernel, which knows none of them for this file.
  @Test func everyCallReachesTheKernel() throws {
    let rig = try PlanRig()
    let device = try VhostDevice(path: "/dev/null")
    let plan = try rig.plan(busyPoll: 50)
    var calls = plan.steps(errors: (1, 2)).flatMap { [$0.call] + ($0.undo.map { [$0] } ?? []) }
    calls += [.setOwner, .getRingBase(ring: 0)]
    for call in calls { #expect(device.perform(call) == -ENOTTY) }
    var features = VirtioNetFeatures()
    #expect(device.getFeatures(&features) == -ENOTTY && features.isEmpty)
    #expect(try #require(throws: Failure.self) { try VhostNet(device) }.errno == ENOTTY)
    device.close()
    device.close()
    #expect(device.perform(.setOwner) == -EBADF)
    let missing = try #require(throws: Failure.self) { try VhostDevice(path: "/dev/nothing-like-vhost") }
    #expect(missing.code == "vhost-open" && missing.errno == ENOENT && missing.hint.contains("modprobe"))
  }
}

@Suite struct VhostMemoryTests {
  private func bytes(_ memory: borrowing SharedMemory, count: Int? = nil, from offset: Int = 0)
    -> UnsafeMutableRawBufferPointer
  {
    UnsafeMutableRawBufferPointer(start: memory.mapping.base + offset, count: count ?? memory.mapping.length - offset)
  }

  @Test func theTableIsTheArena() throws {
    let arena = try SharedMemory(name: "arena", size: 3 * pageSize)
    let table = try VhostMemory(arena: bytes(arena)).table
    #expect(table.count == 1)
    #expect(table[0].address == 0x1000_0000 && table[0].size == UInt64(3 * pageSize) && table[0].padding == 0)
    #expect(table[0].base == UInt64(UInt(bitPattern: arena.mapping.base)))
  }

  @Test func andThePayload() throws {
    let arena = try SharedMemory(name: "arena", size: pageSize)
    let payload = try SharedMemory(name: "payload", size: 2 * pageSize)
    let table = try VhostMemory(arena: bytes(arena), payload: bytes(payload)).table
    #expect(table.map(\.address) == [0x1000_0000, 0x2000_0000])
    #expect(table.map(\.size) == [UInt64(pageSize), UInt64(2 * pageSize)])
    #expect(VhostMemory.none.table.isEmpty)
  }

  @Test func whatIsNoArena() throws {
    let arena = try SharedMemory(name: "arena", size: 4 * pageSize)
    let base = arena.mapping.base
    let wrong: [UnsafeMutableRawBufferPointer] = [
      UnsafeMutableRawBufferPointer(start: nil, count: 0), bytes(arena, count: 0),
      bytes(arena, count: pageSize - 1), bytes(arena, count: pageSize, from: 16),
      // One page more than there is room for between arena and payload. Nothing of it is touched.
      UnsafeMutableRawBufferPointer(start: base, count: 0x1000_0000 + pageSize),
    ]
    for memory in wrong {
      #expect(try #require(throws: Failure.self) { try VhostMemory(arena: memory) }.code == "vhost-memory")
    }
    #expect(throws: Failure.self) { try VhostMemory(arena: bytes(arena), payload: bytes(arena)) }
    #expect(throws: Failure.self) {
      try VhostMemory(arena: bytes(arena, count: 2 * pageSize), payload: bytes(arena, from: pageSize))
    }
    // Side by side is not the same.
    _ = try VhostMemory(arena: bytes(arena, count: pageSize), payload: bytes(arena, from: pageSize))
  }
}
