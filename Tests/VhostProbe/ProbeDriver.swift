import CBulkhead
import Glibc
import Platform
import Protocol
import TAP
import Virtqueue

/// A driver's side of a pair of rings: memory and events, and addresses of the device, but no TAP.
final class ProbeDriver {
  static let frameRoom = 2048
  static let receiveBuffers = 64
  private static let transmitOffset = 0x4_0000
  private static let layout = VirtqueueLayout(size: 256)
  private static let transmitRingOffset = 0x4000

  private let arena: SharedMemory
  private let rings: SharedMemory
  private var receive: VirtqueueGuest
  private var transmit: VirtqueueGuest
  private let events: [Descriptor.Box]

  init() throws(Failure) {
    arena = try SharedMemory(name: "arena", size: 1 << 20)
    rings = try SharedMemory(name: "rings", size: 1 << 16)
    receive = VirtqueueGuest(memory: rings.mapping.base, layout: Self.layout)
    transmit = VirtqueueGuest(memory: rings.mapping.base + Self.transmitRingOffset, layout: Self.layout)
    events = [
      Descriptor.Box(try EventDescriptor.make()), Descriptor.Box(try EventDescriptor.make()),
      Descriptor.Box(try EventDescriptor.make()), Descriptor.Box(try EventDescriptor.make()),
    ]
  }

  private var receiveKick: Int32 { events[0].number }
  private var receiveCall: Int32 { events[1].number }
  private var transmitKick: Int32 { events[2].number }
  private var transmitCall: Int32 { events[3].number }

  func plan(tap: Int32) throws(Failure) -> VhostPlan {
    VhostPlan(
      features: [.version1, .eventIndex],
      memory: try VhostMemory(
        arena: UnsafeMutableRawBufferPointer(start: arena.mapping.base, count: arena.mapping.length)),
      receive: VhostRing(layout: Self.layout, base: rings.mapping.base, kick: receiveKick, call: receiveCall),
      transmit: VhostRing(
        layout: Self.layout, base: rings.mapping.base + Self.transmitRingOffset, kick: transmitKick,
        call: transmitCall),
      tap: tap)
  }

  /// Offers empty buffers at `address`, one after another.
  func offerBuffers(count: Int = receiveBuffers, at address: UInt64 = AddressMap.arena) {
    for index in 0..<count {
      receive.setDescriptor(
        index,
        VirtqueueDescriptor(
          address: address + UInt64(index * Self.frameRoom), length: UInt32(Self.frameRoom),
          flags: VirtqueueDescriptor.flagWrite))
      receive.submit(head: index)
    }
    if receive.publish() { EventDescriptor.signal(receiveKick) }
  }

  /// Sends a frame with an empty header. It lies in the arena; the descriptor may lie.
  func send(_ frame: [UInt8], address: UInt64? = nil, length: UInt32? = nil) {
    let place = arena.mapping.base + Self.transmitOffset
    place.initializeMemory(as: UInt8.self, repeating: 0, count: NetworkClass.headerSize)
    (place + NetworkClass.headerSize).copyMemory(from: frame, byteCount: frame.count)
    transmit.setDescriptor(
      0,
      VirtqueueDescriptor(
        address: address ?? AddressMap.arena + UInt64(Self.transmitOffset),
        length: length ?? UInt32(NetworkClass.headerSize + frame.count)))
    transmit.submit(head: 0)
    if transmit.publish() { EventDescriptor.signal(transmitKick) }
  }

  /// Wakes the kernel for no reason.
  func kick() {
    EventDescriptor.signal(receiveKick)
    EventDescriptor.signal(transmitKick)
  }

  /// Whether the kernel has given the frame back; waits for at most `milliseconds`.
  func isSent(within milliseconds: Int64) throws -> Bool {
    try wait(milliseconds, for: transmitCall) { [self] in
      try transmit.nextUsed() != nil ? true : transmit.enableCalls() ? nil : false
    }
  }

  /// The next received frame without its header; waits for at most `milliseconds`.
  func nextFrame(within milliseconds: Int64) throws -> [UInt8]? {
    var frame: [UInt8]?
    _ = try wait(milliseconds, for: receiveCall) { [self] in
      guard let used = try receive.nextUsed() else { return receive.enableCalls() ? nil : false }
      let length = Int(used.length)
      guard length >= NetworkClass.headerSize, length <= Self.frameRoom else {
        throw Failure("probe", "the kernel says that it wrote \(length) bytes")
      }
      let place = arena.mapping.base + Int(used.id) * Self.frameRoom
      frame = Array(UnsafeRawBufferPointer(start: place, count: length)[NetworkClass.headerSize...])
      return true
    }
    return frame
  }

  /// Asks until the answer is true; sleeps when it is false, and asks again at once when it is nil.
  private func wait(_ milliseconds: Int64, for event: Int32, _ isDone: () throws -> Bool?) throws -> Bool {
    let end = monotonicNow() + milliseconds * 1_000_000
    while true {
      let answer = try isDone()
      if answer == true { return true }
      let left = end - monotonicNow()
      guard left > 0 else { return false }
      guard answer == false else { continue }
      var ready = pollfd(fd: event, events: Int16(POLLIN), revents: 0)
      _ = bh_ppoll(&ready, 1, left)
      EventDescriptor.drain(event)
    }
  }
}

extension Descriptor {
  /// A file that arrays can hold.
  final class Box {
    private let descriptor: Descriptor
    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
    var number: Int32 { descriptor.number }
  }
}
