import Glibc
import Platform
import Virtqueue

@testable import TAP

/// The rules of the kernel's vhost-net (drivers/vhost/net.c and vhost.c), without frames.
final class FakeVhost: VhostInterface {
  struct Ring: Equatable {
    var size: UInt32 = 1
    var base: UInt16 = 0
    var address: VhostRingAddress?
    var kick: Int32?
    var call: Int32?
    var error: Int32?
    var backend: Int32?
    var busyPoll: UInt32 = 0
  }

  var offered: VirtioNetFeatures = [.mergeableBuffers, .logAll, .vhostHeader, .indirect, .eventIndex, .version1]
  private(set) var calls: [VhostCall] = []
  private(set) var hasOwner = false
  private(set) var features = VirtioNetFeatures()
  private(set) var memory = VhostMemory.none
  private(set) var rings = [Ring(), Ring()]
  private(set) var isClosed = false
  /// The call of this number fails, counted from 0.
  var failingCall: Int?
  /// All that take something back fail.
  var undoFails = false
  /// As if frames had moved.
  var moved: UInt16 = 0

  func getFeatures(_ features: inout VirtioNetFeatures) -> Int32 {
    features = offered
    return 0
  }

  func close() { isClosed = true }

  /// Whether the kernel can touch anything of the driver's.
  var isQuiet: Bool {
    isClosed
      || memory == .none
        && rings.allSatisfy {
          $0.backend == nil && $0.kick == nil && $0.call == nil && $0.error == nil && $0.busyPoll == 0
        }
  }

  func perform(_ call: VhostCall) -> Int32 {
    guard !isClosed else { return -EBADF }
    calls.append(call)
    if failingCall == calls.count - 1 { return -ENOMEM }
    if case .setOwner = call {
      guard !hasOwner else { return -EBUSY }
      hasOwner = true
      return 0
    }
    guard hasOwner else { return -EPERM }
    switch call {
    case .setOwner: return 0
    case .setFeatures(let wanted):
      guard offered.isSuperset(of: wanted) else { return -EOPNOTSUPP }
      features = wanted
    case .setMemory(let table):
      if undoFails, table == .none { return -ENOMEM }
      memory = table
    case .setRingSize(let ring, let size):
      guard rings[Int(ring)].backend == nil else { return -EBUSY }
      guard size > 0, size <= 0xFFFF, size.nonzeroBitCount == 1 else { return -EINVAL }
      rings[Int(ring)].size = size
    case .setRingBase(let ring, let base):
      guard rings[Int(ring)].backend == nil else { return -EBUSY }
      rings[Int(ring)].base = base
    case .setRingAddress(let ring, let address): rings[Int(ring)].address = address
    case .setKick(let ring, let file): rings[Int(ring)].kick = file
    case .setCall(let ring, let file): rings[Int(ring)].call = file
    case .setError(let ring, let file): rings[Int(ring)].error = file
    case .setBusyPoll(let ring, let time): rings[Int(ring)].busyPoll = time
    case .setBackend(let ring, let file):
      guard rings[Int(ring)].address != nil else { return -EFAULT }
      rings[Int(ring)].backend = file
      if file == nil { rings[Int(ring)].base &+= moved }
    case .getRingBase(let ring): return Int32(rings[Int(ring)].base)
    }
    return 0
  }
}

/// An eventfd for each ring.
struct EventPair: ~Copyable {
  let receive: Descriptor
  let transmit: Descriptor

  static func make() throws(Failure) -> EventPair {
    EventPair(receive: try EventDescriptor.make(), transmit: try EventDescriptor.make())
  }
}

/// Memory and events for one plan.
final class PlanRig {
  let arena: SharedMemory
  let rings: SharedMemory
  let kick: EventPair
  let call: EventPair
  let layout = VirtqueueLayout(size: 256)

  init() throws {
    arena = try SharedMemory(name: "arena", size: 1 << 20)
    rings = try SharedMemory(name: "rings", size: 1 << 16)
    kick = try EventPair.make()
    call = try EventPair.make()
  }

  var arenaBytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: arena.mapping.base, count: arena.mapping.length)
  }

  func plan(tap: Int32 = 99, busyPoll: UInt32 = 0) throws -> VhostPlan {
    VhostPlan(
      features: [.version1, .eventIndex, .guestChecksum, .guestTSO4],
      memory: try VhostMemory(arena: arenaBytes),
      receive: VhostRing(
        layout: layout, base: rings.mapping.base, kick: kick.receive.number, call: call.receive.number),
      transmit: VhostRing(
        layout: layout, base: rings.mapping.base + 0x4000, kick: kick.transmit.number, call: call.transmit.number),
      tap: tap, busyPoll: busyPoll)
  }
}
