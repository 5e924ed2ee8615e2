import CBulkhead
import Glibc
import Platform
import VFIO

@testable import Emulation

/// The smallest driver there can be: it maps BAR 0 as a driver does, builds entries in an arena, rings and looks.
final class Host {
  static let arena: UInt64 = 0x1000_0000
  static let arenaSize = 8 << 20
  static let entries: UInt32 = 16
  /// Pages of the arena.
  static let adminSubmission = 0
  static let adminCompletion = 1
  static let ioSubmission = 2
  static let ioCompletion = 3
  /// Where data may be, from the start of the arena.
  static let data = 64 * 4096

  struct Completion: Equatable {
    var value: UInt32
    var head: UInt16
    var queue: UInt16
    var identifier: UInt16
    /// Without Do Not Retry and More.
    var status: UInt16
  }

  let loop = EventLoop()
  let backing: EmulatedNVMeBacking
  let arena: SharedMemory
  let bar: MappedMemory
  let vectors: [Int32]
  private var tails: [UInt32] = [0, 0]
  private var heads: [UInt32] = [0, 0]
  private var phases: [UInt32] = [1, 1]
  private var nextIdentifier: UInt16 = 1

  /// - Parameter medium: what holds the blocks, if it is there already; owned from here on.
  init(_ options: EmulationOptions = EmulationOptions(), medium: Int32? = nil) throws {
    if let medium {
      backing = try EmulatedNVMeBacking(options, medium: Descriptor(owning: medium), loop: loop)
    } else {
      backing = try EmulatedNVMeBacking(options, loop: loop)
    }
    arena = try SharedMemory(name: "test-arena", size: Self.arenaSize)
    let range = try backing.mappableRanges(bar: 0)[0]
    bar = try MappedMemory(file: backing.deviceFile, offset: range.fileOffset, length: Int(range.length))
    vectors = try (0..<2).map { _ in try EventDescriptor.make().release() }
    try attach()
  }

  convenience init(_ text: String) throws { try self.init(EmulationOptions(parsing: text)) }

  deinit {
    backing.close()
    for vector in vectors { Descriptor.close(vector) }
  }

  func attach() throws {
    try backing.mapArena(
      ArenaMapping(
        iova: Self.arena, file: arena.file.number, base: arena.mapping.base, size: UInt64(Self.arenaSize)))
    try awaken()
  }

  func awaken() throws {
    try backing.wireInterrupts(.msix, eventfds: vectors)
    try backing.setMemoryEnable(true)
    try backing.setBusMaster(true)
  }

  // Registers

  func read32(_ offset: Int) -> UInt32 { bh_mmio_read32(bar.base + offset) }

  func write32(_ offset: Int, _ value: UInt32) throws {
    bh_mmio_write32(bar.base + offset, value)
    EventDescriptor.signal(backing.bell!)
    try loop.turn(waiting: 0)
  }

  var status: UInt32 { read32(0x1C) }

  /// Resets, then enables with the admin queues; false if the controller does not become ready.
  @discardableResult
  func enable() throws -> Bool {
    try write32(0x14, 0)
    for page in 0..<4 { memory(page * 4096).initializeMemory(as: UInt8.self, repeating: 0, count: 4096) }
    tails = [0, 0]
    heads = [0, 0]
    phases = [1, 1]
    try write32(0x24, (Self.entries - 1) << 16 | (Self.entries - 1))
    try write32(0x28, UInt32(Self.iova(Self.adminSubmission * 4096)))
    try write32(0x2C, 0)
    try write32(0x30, UInt32(Self.iova(Self.adminCompletion * 4096)))
    try write32(0x34, 0)
    try write32(0x14, 4 << 20 | 6 << 16 | 1)
    return status == 1
  }

  /// Enabled, with I/O queue pair 1 on vector 1.
  @discardableResult
  func start() throws -> Self {
    guard try enable() else { throw Failure("test", "enable") }
    let size = (Self.entries - 1) << 16 | 1
    let made = try admin(0x05, prp1: Self.iova(Self.ioCompletion * 4096), d10: size, d11: 1 << 16 | 3)
    let other = try admin(0x01, prp1: Self.iova(Self.ioSubmission * 4096), d10: size, d11: 1 << 16 | 1)
    guard made?.status == 0, other?.status == 0 else { throw Failure("test", "create queues") }
    drainInterrupts()
    return self
  }

  // Memory

  static func iova(_ offset: Int) -> UInt64 { arena + UInt64(offset) }
  func memory(_ offset: Int) -> UnsafeMutableRawPointer { arena.mapping.base + offset }

  func fill(_ offset: Int, _ count: Int, _ byte: UInt8) {
    memory(offset).initializeMemory(as: UInt8.self, repeating: byte, count: count)
  }

  /// Random contents, from an offset that is a multiple of 4.
  func scramble(_ offset: Int, _ count: Int, _ generator: inout SeededGenerator) {
    var index = 0
    while index < count {
      memory(offset + index).storeBytes(of: UInt32(truncatingIfNeeded: generator.next()), as: UInt32.self)
      index += 4
    }
  }

  func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: memory(offset), count: count))
  }

  /// Whether memory holds these bytes.
  func holds(_ offset: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
    memcmp(memory(offset), bytes.baseAddress!, bytes.count) == 0
  }

  // Queues

  /// Puts an entry into queue 0 or 1; the doorbell is another matter.
  @discardableResult
  func place(
    _ queue: Int, _ opcode: UInt8, namespace: UInt32 = 0, prp1: UInt64 = 0, prp2: UInt64 = 0, d10: UInt32 = 0,
    d11: UInt32 = 0, d12: UInt32 = 0
  ) -> UInt16 {
    let identifier = nextIdentifier
    nextIdentifier += 1
    let page = queue == 0 ? Self.adminSubmission : Self.ioSubmission
    let entry = memory(page * 4096 + Int(tails[queue]) * 64)
    entry.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    entry.storeBytes(of: UInt32(opcode) | UInt32(identifier) << 16, as: UInt32.self)
    entry.storeBytes(of: namespace, toByteOffset: 4, as: UInt32.self)
    entry.storeBytes(of: prp1, toByteOffset: 24, as: UInt64.self)
    entry.storeBytes(of: prp2, toByteOffset: 32, as: UInt64.self)
    entry.storeBytes(of: d10, toByteOffset: 40, as: UInt32.self)
    entry.storeBytes(of: d11, toByteOffset: 44, as: UInt32.self)
    entry.storeBytes(of: d12, toByteOffset: 48, as: UInt32.self)
    tails[queue] = (tails[queue] + 1) % Self.entries
    return identifier
  }

  func ring(_ queue: Int) throws { try write32(0x1000 + 8 * queue, tails[queue]) }

  /// The next completion of a queue if there is one now.
  func take(_ queue: Int) throws -> Completion? {
    let page = queue == 0 ? Self.adminCompletion : Self.ioCompletion
    let entry = memory(page * 4096 + Int(heads[queue]) * 16)
    let last = bh_load32(entry + 12)
    guard last >> 16 & 1 == phases[queue] else { return nil }
    bh_dma_read_barrier()
    heads[queue] += 1
    if heads[queue] == Self.entries {
      heads[queue] = 0
      phases[queue] ^= 1
    }
    let words = (bh_load32(entry), bh_load32(entry + 8))
    try write32(0x1004 + 8 * queue, heads[queue])
    return Completion(
      value: words.0, head: UInt16(words.1 & 0xFFFF), queue: UInt16(words.1 >> 16),
      identifier: UInt16(last & 0xFFFF), status: UInt16(last >> 17) & 0x7FF)
  }

  /// Turns the loop until there is a completion; nil after `turns` rounds of at most a millisecond.
  func wait(_ queue: Int, turns: Int = 2000) throws -> Completion? {
    for _ in 0..<turns {
      if let completion = try take(queue) { return completion }
      try loop.turn(waiting: 1_000_000)
    }
    return nil
  }

  func admin(
    _ opcode: UInt8, namespace: UInt32 = 0, prp1: UInt64 = 0, d10: UInt32 = 0, d11: UInt32 = 0, d12: UInt32 = 0
  ) throws -> Completion? {
    place(0, opcode, namespace: namespace, prp1: prp1, d10: d10, d11: d11, d12: d12)
    try ring(0)
    return try take(0)
  }

  /// One I/O command, done at once.
  func io(
    _ opcode: UInt8, namespace: UInt32 = 1, block: UInt64 = 0, count: Int = 1, prp1: UInt64 = 0, prp2: UInt64 = 0,
    flags: UInt32 = 0
  ) throws -> Completion? {
    placeIO(opcode, namespace: namespace, block: block, count: count, prp1: prp1, prp2: prp2, flags: flags)
    try ring(1)
    return try take(1)
  }

  @discardableResult
  func placeIO(
    _ opcode: UInt8, namespace: UInt32 = 1, block: UInt64 = 0, count: Int = 1, prp1: UInt64 = 0, prp2: UInt64 = 0,
    flags: UInt32 = 0
  ) -> UInt16 {
    place(
      1, opcode, namespace: namespace, prp1: prp1, prp2: prp2, d10: UInt32(truncatingIfNeeded: block),
      d11: UInt32(block >> 32), d12: UInt32(count - 1) | flags)
  }

  /// A transfer of whatever length from a buffer in the arena, with pointers as the specification wants them; lists are
  /// built in the pages from `list`.
  func transfer(
    _ opcode: UInt8, block: UInt64, count: Int, blockSize: Int, buffer: Int, flags: UInt32 = 0, list: Int = 8 * 4096,
    namespace: UInt32 = 1
  ) throws -> Completion? {
    let length = count * blockSize
    let first = min(length, 4096 - buffer % 4096)
    let pages = (length - first + 4095) / 4096
    var prp2: UInt64 = 0
    if pages == 1 {
      prp2 = Self.iova(buffer + first)
    } else if pages > 1 {
      prp2 = buildList(pages, from: buffer + first, at: list)
    }
    return try io(
      opcode, namespace: namespace, block: block, count: count, prp1: Self.iova(buffer), prp2: prp2, flags: flags)
  }

  /// `at` may lie anywhere in a page; the list goes on in the next page through its last entry.
  func buildList(_ pages: Int, from data: Int, at: Int) -> UInt64 {
    var place = at
    for page in 0..<pages {
      if place % 4096 == 4088, page < pages - 1 {
        // One page further on is left out, so that nobody gets by with taking the list for contiguous.
        let next = place + 8 + 4096
        memory(place).storeBytes(of: Self.iova(next), as: UInt64.self)
        place = next
      }
      memory(place).storeBytes(of: Self.iova(data + page * 4096), as: UInt64.self)
      place += 8
    }
    return Self.iova(at)
  }

  func interrupts(_ vector: Int) -> UInt64 { EventDescriptor.drain(vectors[vector]) }
  func drainInterrupts() { for vector in vectors { EventDescriptor.drain(vector) } }
}
