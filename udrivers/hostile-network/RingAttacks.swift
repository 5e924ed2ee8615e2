import CBulkhead
import DriverKit
import RingForgery
import Virtqueue

extension HostileNetworkDriver {
  /// The queue that the option names, by hand; it goes on where the honest queue stands.
  private func ring(_ fallback: Int) throws(DriverFailure) -> (NetworkQueue, RawRing) {
    let index = try options.number("queue", default: fallback, in: 0...1)
    let queue = device.networkQueues[index]
    isForging = true
    var ring = RawRing(memory: queue.rawMemory, layout: queue.rawLayout)
    ring.show(index: bh_load16(queue.rawMemory + queue.rawLayout.availOffset + 2))
    return (queue, ring)
  }

  private func honest(_ queue: NetworkQueue, length: Int = HostileNetworkDriver.bufferSize) -> VirtqueueDescriptor {
    VirtqueueDescriptor(
      address: buffers.address, length: UInt32(length),
      flags: queue.direction == .outbound ? VirtqueueDescriptor.flagWrite : 0)
  }

  /// A frame that is one, with room for its header before it.
  private func writeFrame() {
    for place in 0..<1514 {
      buffers.pointer.storeBytes(
        of: UInt8(truncatingIfNeeded: place), toByteOffset: NetworkClass.headerSize + place, as: UInt8.self)
    }
    let start: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x52, 0x54, 0, 0xBA, 0xD0, 1, 0x08, 0, 0x45, 0]
    for (place, byte) in start.enumerated() {
      buffers.pointer.storeBytes(of: byte, toByteOffset: NetworkClass.headerSize + place, as: UInt8.self)
    }
    bh_store32(buffers.pointer, 0)
    bh_store64(buffers.pointer + 4, 0)
  }

  func forgeDescriptors() throws(DriverFailure) {
    let forgery = try kind(of: RingForgery.self)
    var (queue, ring) = try ring(0)
    Log.warning("descriptors: \(forgery.rawValue) in queue \(queue.index)")
    writeFrame()
    forgery.write(to: &ring, honest(queue), index: 0, arena: UInt64(device.grant.arenaSize))
    queue.rawCall()
    makeRoom()
  }

  /// Frames in turn, each with its forged header; what the outlet makes of one does not keep the others from coming.
  func forgeHeaders() throws(DriverFailure) {
    let kinds = triesAll ? HeaderForgery.allCases : [try kind(of: HeaderForgery.self)]
    let count = try options.number("count", default: 1000, in: 1...Int.max)
    var (queue, ring) = try ring(1)
    let most = buffers.length
    var sent = 0
    var left: [String: Int] = [:]
    Log.warning("headers: \(triesAll ? "all" : kinds[0].rawValue), \(count) frames")
    while sent < count, !device.isStopping {
      let forgery = kinds[sent % kinds.count]
      let turn = sent / kinds.count
      writeFrame()
      let length = min(most, forgery.length(turn: turn) ?? NetworkClass.headerSize + 1514)
      if length >= NetworkClass.headerSize {
        forgery.write(to: buffers.pointer, length: length - NetworkClass.headerSize, turn: turn)
      }
      ring.describe(0, honest(queue, length: length))
      ring.offer(0)
      ring.show()
      queue.rawCall()
      sent += 1
      if try !isReturned(ring) { left[forgery.rawValue, default: 0] += 1 }
    }
    for (kind, count) in left.sorted(by: { $0.key < $1.key }) {
      Log.warning("headers: \(kind): \(count) did not come back within a second")
    }
    Log.warning("headers: \(sent) frames, \(ring.used) came back")
  }

  /// Whether everything that was offered comes back within a second.
  private func isReturned(_ ring: RawRing) throws(DriverFailure) -> Bool {
    let end = monotonicNow() + 1_000_000_000
    while ring.used != ring.available, monotonicNow() < end, !device.isStopping { try device.sleep(20_000) }
    return ring.used == ring.available
  }

  private enum RaceKind: String, CaseIterable {
    case address, length, flags, next, header, everything
  }

  /// Offers frames and changes them at once, again and again, as fast as it goes.
  func race() throws(DriverFailure) {
    let kind = try kind(of: RaceKind.self)
    let end = monotonicNow() + Nanoseconds(try options.number("seconds", default: 5, in: 1...3600)) * 1_000_000_000
    var (queue, ring) = try ring(1)
    let right = honest(queue, length: NetworkClass.headerSize + 1514)
    var wrong = right
    switch kind {
    case .address: wrong.address = AddressMap.rings
    case .length: wrong.length = .max
    case .flags: wrong.flags = VirtqueueDescriptor.flagNext | VirtqueueDescriptor.flagWrite
    case .next: (wrong.flags, wrong.next) = (VirtqueueDescriptor.flagNext, .max)
    case .header: break
    case .everything:
      wrong = VirtqueueDescriptor(address: .max, length: .max, flags: .max, next: .max)
    }
    Log.warning("race: \(kind.rawValue)")
    writeFrame()
    var rounds: UInt64 = 0
    while monotonicNow() < end, !device.isStopping {
      ring.describe(0, right)
      if ring.available &- ring.used < 8 {
        ring.offer(0)
        ring.show()
        queue.rawCall()
      }
      for turn in 0..<64 {
        if kind != .header { ring.describe(0, turn % 2 == 0 ? wrong : right) }
        if kind == .header || kind == .everything {
          HeaderForgery.ofHeaders[turn % HeaderForgery.ofHeaders.count].write(
            to: buffers.pointer, length: 1514, turn: turn)
          bh_store32(buffers.pointer, 0)
        }
      }
      rounds += 1
      if rounds % 1024 == 0 { try device.sleep(1) }
    }
    Log.warning("race: \(rounds) rounds, \(ring.used) frames came back")
    makeRoom()
  }
}
