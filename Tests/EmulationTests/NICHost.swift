import CBulkhead
import Glibc
import Platform
import Protocol
import VFIO

@testable import Emulation

/// The smallest driver of the emulated NIC, written from the datasheet: it maps BAR 0 as a driver does, builds descriptors
/// in an arena, and holds the other end of the wire.
final class NICHost {
  static let arena: UInt64 = 0x1000_0000
  static let arenaSize = 8 << 20
  static let entries = 16
  static let receiveRing = 0
  static let transmitRing = 0x1000
  static let receiveBuffers = 0x10000
  static let transmitBuffers = 0x200000
  static let bufferSize = 2048
  static let address: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56]

  struct Received: Equatable {
    var bytes: [UInt8]
    var length: Int
    var checksum: UInt16
    var status: UInt8
    var errors: UInt8
  }

  let loop = EventLoop()
  let backing: EmulatedE1000EBacking
  let arena: SharedMemory
  let bar: MappedMemory
  let vectors: [Int32]
  let peer: Int32
  private(set) var receiveHead = 0
  private(set) var receiveTail = 0
  private(set) var transmitTail = 0

  init(_ text: String = "e1000e,wire=test,mac=52:54:00:12:34:56") throws {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0 else {
      throw Failure("test", "socketpair", errno: errno)
    }
    peer = ends[1]
    backing = try EmulatedE1000EBacking(
      EmulationOptions(parsing: text), wire: Descriptor(owning: ends[0]), loop: loop)
    arena = try SharedMemory(name: "test-arena", size: Self.arenaSize)
    let range = try backing.mappableRanges(bar: 0)[0]
    bar = try MappedMemory(file: backing.deviceFile, offset: range.fileOffset, length: Int(range.length))
    vectors = try (0..<5).map { _ in try EventDescriptor.make().release() }
    try backing.mapArena(
      ArenaMapping(
        iova: Self.arena, file: arena.file.number, base: arena.mapping.base, size: UInt64(Self.arenaSize)))
    try awaken()
  }

  deinit {
    backing.close()
    for file in vectors + [peer] { Descriptor.close(file) }
  }

  func awaken() throws {
    try backing.wireInterrupts(.msix, eventfds: vectors)
    try backing.setMemoryEnable(true)
    try backing.setBusMaster(true)
  }

  // Registers

  func memory32(_ offset: Int) -> UInt32 { bh_mmio_read32(bar.base + offset) }

  private func isTrapped(_ offset: Int) -> Bool {
    [0x1FE0, 0x1FE4].contains { word in
      let range = memory32(word)
      return range != .max && offset / 4 >= range & 0xFFFF && offset / 4 < range >> 16
    }
  }

  func turn() throws { try loop.turn(waiting: 0) }

  func read(_ offset: Int) throws -> UInt32 {
    guard isTrapped(offset) else { return memory32(offset) }
    bh_mmio_write32(bar.base + 0x1FE8, 1 << 31 | UInt32(offset))
    EventDescriptor.signal(backing.bell!)
    try turn()
    guard memory32(0x1FE8) == 0 else { return .max }
    return memory32(0x1FEC)
  }

  func write(_ offset: Int, _ value: UInt32) throws {
    if isTrapped(offset) {
      bh_mmio_write32(bar.base + 0x1FEC, value)
      bh_mmio_write32(bar.base + 0x1FE8, 3 << 30 | UInt32(offset))
    } else {
      bh_mmio_write32(bar.base + offset, value)
    }
    EventDescriptor.signal(backing.bell!)
    try turn()
  }

  /// Rings of 16, all receive buffers given, causes routed to vectors 0, 1 and 2 and unmasked.
  /// - Parameters:
  ///   - receive: RCTL besides EN and SECRC.
  ///   - filter: RFCTL.
  @discardableResult
  func start(receive: UInt32 = 1 << 15, filter: UInt32 = 0, checksum: UInt32 = 3 << 8) throws -> NICHost {
    (receiveHead, receiveTail, transmitTail) = (0, 0, 0)
    for (base, ring) in [(0x2800, Self.receiveRing), (0x3800, Self.transmitRing)] {
      memory(ring).initializeMemory(as: UInt8.self, repeating: 0, count: 0x1000)
      try write(base, UInt32(Self.arena) + UInt32(ring))
      try write(base + 4, 0)
      try write(base + 8, UInt32(Self.entries * 16))
      try write(base + 0x10, 0)
      try write(base + 0x18, 0)
    }
    try write(0x5000, checksum)
    try write(0x5008, filter)
    try write(0x00E4, 0x000A_0908)
    try write(0x00DC, 0x0050_0000)
    try write(0x0018, 1 << 24)
    try write(0x00D0, 0x0150_0044)
    try write(0x0100, receive | 1 << 26 | 1 << 1)
    try write(0x0400, 1 << 3 | 1 << 1)
    try write(0x0000, 1 << 6)
    try give(Self.entries - 1)
    _ = try read(0x00C0)
    drainInterrupts()
    try write(0x00D0, 0x0150_0044)
    return self
  }

  // Memory

  func memory(_ offset: Int) -> UnsafeMutableRawPointer { arena.mapping.base + offset }
  func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: memory(offset), count: count))
  }

  // Receive

  /// Gives the next buffers.
  func give(_ count: Int) throws {
    for _ in 0..<count {
      let place = memory(Self.receiveRing + receiveTail * 16)
      bh_store64(place, Self.arena + UInt64(Self.receiveBuffers + receiveTail * Self.bufferSize))
      bh_store64(place + 8, 0)
      receiveTail = (receiveTail + 1) % Self.entries
    }
    try write(0x2818, UInt32(receiveTail))
  }

  /// Puts a frame on the wire, towards the NIC.
  func arrive(_ frame: [UInt8]) throws {
    guard send(peer, frame, frame.count, 0) == frame.count else { throw Failure("test", "send", errno: errno) }
    try turn()
    try turn()
  }

  /// The next receive descriptor if it is done, in the legacy format; its buffer is not given again.
  func take() throws -> Received? {
    let word = bh_load64(memory(Self.receiveRing + receiveHead * 16 + 8))
    guard word >> 32 & 1 == 1 else { return nil }
    let length = Int(word & 0xFFFF)
    let place = Self.receiveBuffers + receiveHead * Self.bufferSize
    receiveHead = (receiveHead + 1) % Self.entries
    return Received(
      bytes: bytes(place, min(length, Self.bufferSize)), length: length, checksum: UInt16(word >> 16 & 0xFFFF),
      status: UInt8(word >> 32 & 0xFF), errors: UInt8(word >> 40 & 0xFF))
  }

  // Transmit

  /// Puts a descriptor into the ring.
  func place(_ low: UInt64, _ high: UInt64) {
    bh_store64(memory(Self.transmitRing + transmitTail * 16), low)
    bh_store64(memory(Self.transmitRing + transmitTail * 16 + 8), high)
    transmitTail = (transmitTail + 1) % Self.entries
  }

  func ring() throws { try write(0x3818, UInt32(transmitTail)) }

  /// Places data descriptors for a frame in pieces of at most `piece` bytes; RS and EOP in the last one.
  func placeFrame(_ frame: [UInt8], options: UInt64 = 0, piece: Int = 4096) {
    let buffer = Self.transmitBuffers + transmitTail * 0x20000
    frame.withUnsafeBytes { memory(buffer).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    var sent = 0
    while sent < frame.count {
      let count = min(piece, frame.count - sent)
      let last: UInt64 = sent + count == frame.count ? 1 << 24 | 1 << 27 : 0
      place(
        Self.arena + UInt64(buffer + sent), UInt64(count) | 1 << 20 | 1 << 25 | 1 << 29 | last | options)
      sent += count
    }
  }

  func transmit(_ frame: [UInt8], options: UInt64 = 0, piece: Int = 4096) throws {
    placeFrame(frame, options: options, piece: piece)
    try ring()
  }

  /// The next frame that came out of the NIC.
  func sent() -> [UInt8]? {
    var room = [UInt8](repeating: 0, count: 0x11000)
    let length = recv(peer, &room, room.count, 0)
    return length > 0 ? Array(room[..<length]) : nil
  }

  func isDone(_ descriptor: Int) -> Bool {
    bh_load64(memory(Self.transmitRing + descriptor * 16 + 8)) >> 32 & 1 == 1
  }

  func interrupts(_ vector: Int) -> UInt64 { EventDescriptor.drain(vectors[vector]) }
  func drainInterrupts() { for vector in vectors { EventDescriptor.drain(vector) } }

  /// Turns the loop until something holds; a millisecond at a time.
  func wait(_ condition: () throws -> Bool) throws -> Bool {
    for _ in 0..<3000 {
      if try condition() { return true }
      try loop.turn(waiting: 1_000_000)
      backing.service()
    }
    return false
  }
}

/// Frames, and what a receiver checks in them.
enum NICFrame {
  static func plain(_ length: Int, to destination: [UInt8] = NICHost.address, seed: Int = 0) -> [UInt8] {
    var frame = destination + [2, 0, 0, 0, 0, 1, 0x88, 0xB5]
    frame += (14..<max(14, length)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ seed &* 13) }
    return frame
  }

  /// The sum of RFC 1071, written plainly.
  static func sum(_ bytes: some Sequence<UInt8>) -> UInt16 {
    var sum: UInt32 = 0
    for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte) }
    while sum > 0xFFFF { sum = (sum & 0xFFFF) + sum >> 16 }
    return UInt16(sum)
  }

  static func put(_ frame: inout [UInt8], _ offset: Int, _ value: UInt16) {
    frame[offset] = UInt8(value >> 8)
    frame[offset + 1] = UInt8(value & 0xFF)
  }

  static let transportSize = [6: 20, 17: 8]

  /// TCP (6) or UDP (17) over IPv4 or IPv6, behind a tag or not. `partial`: its checksum is the pseudo header's sum only;
  /// for segments without the length.
  static func ip(
    version: Int, kind: Int, payload: Int, tagged: Bool = false, partial: Bool = false, segmented: Bool = false
  ) -> (frame: [UInt8], network: Int, transport: Int) {
    var frame = NICHost.address + [2, 0, 0, 0, 0, 1] + (tagged ? [0x81, 0, 0, 7] : [])
    frame += version == 4 ? [0x08, 0x00] : [0x86, 0xDD]
    let network = frame.count
    let length = transportSize[kind]! + payload
    let addresses: [UInt8] = version == 4 ? [10, 0, 0, 1, 10, 0, 0, 2] : (0..<32).map { UInt8($0 * 7 + 1) }
    if version == 4 {
      frame += [0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, UInt8(kind), 0, 0] + addresses
      if !segmented {
        put(&frame, network + 2, UInt16(length + 20))
        put(&frame, network + 10, ~sum(frame[network..<network + 20]))
      }
    } else {
      frame += [0x60, 0, 0, 0, 0, 0, UInt8(kind), 64] + addresses
      if !segmented { put(&frame, network + 4, UInt16(length)) }
    }
    let transport = frame.count
    if kind == 6 {
      frame += [0x1F, 0x90, 0x9C, 0x40, 0, 0, 0x10, 0, 0, 0, 0x20, 0, 0x50, 0x19, 0xFF, 0xFF, 0, 0, 0, 0]
    } else {
      frame += [0x1F, 0x90, 0x9C, 0x40, UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), 0, 0]
    }
    frame += (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ $0 >> 8) }
    let counted = segmented ? 0 : length
    let pseudo = addresses + [0, UInt8(kind), UInt8(counted >> 8), UInt8(counted & 0xFF)]
    let place = transport + (kind == 6 ? 16 : 6)
    put(&frame, place, partial || segmented ? sum(pseudo) : ~sum(pseudo + frame[transport...]))
    return (frame, network, transport)
  }

  /// Whether header and transport checksums of a whole frame are right.
  static func isIntact(_ frame: [UInt8], version: Int, kind: Int, network: Int, transport: Int) -> Bool {
    if version == 4, sum(frame[network..<transport]) != 0xFFFF { return false }
    let addresses = version == 4 ? frame[network + 12..<network + 20] : frame[network + 8..<network + 40]
    let length = frame.count - transport
    let pseudo = Array(addresses) + [0, UInt8(kind), UInt8(length >> 8), UInt8(length & 0xFF)]
    return sum(pseudo + frame[transport...]) == 0xFFFF
  }
}
