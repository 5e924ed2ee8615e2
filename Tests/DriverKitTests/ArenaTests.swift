import Testing

@testable import DriverKit

@Suite struct ArenaTests {
  private func arena(_ length: Int, address: UInt64 = 0x1000_0000) -> (Arena, UnsafeMutableRawPointer) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 4096)
    return (Arena(DMAMemory(pointer: memory, address: address, length: length)), memory)
  }

  @Test func givesOutDisjointAlignedMemory() throws {
    var (arena, memory) = arena(1 << 16)
    defer { memory.deallocate() }
    let first = try arena.allocate(100, for: "test")
    let second = try arena.allocate(64, alignment: 64, for: "test")
    let third = try arena.allocate(1, for: "test")
    #expect(first.address == 0x1000_0000 && first.pointer == memory)
    #expect(second.address == 0x1000_0080 && second.pointer == memory + 128)
    #expect(third.address == 0x1000_1000)
    #expect(arena.available == (1 << 16) - 4097)
  }

  /// Alignment is that of the device's address, not of the driver's.
  @Test func alignsTheDeviceAddress() throws {
    var (arena, memory) = arena(1 << 14, address: 0x1000_0800)
    defer { memory.deallocate() }
    let piece = try arena.allocate(16, for: "test")
    #expect(piece.address == 0x1000_1000 && piece.pointer == memory + 0x800)
  }

  @Test func endsWithAFailureAndNotBeyond() throws {
    var (arena, memory) = arena(8192)
    defer { memory.deallocate() }
    _ = try arena.allocate(1, for: "test")
    #expect { try arena.allocate(4097, for: "queue") } throws: { ($0 as? DriverFailure)?.code == .resources }
    let last = try arena.allocate(4096, for: "test")
    #expect(last.address == 0x1000_1000)
    #expect { try arena.allocate(1, for: "queue") } throws: { ($0 as? DriverFailure)?.code == .resources }
  }
}
