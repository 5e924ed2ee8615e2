import CBulkhead
import Glibc
import Platform

/// A thread that changes rings and arena while they are read, until it is told to stop.
final class Flipper {
  private final class Shared {
    let rings: GuardedMemory
    let arena: GuardedMemory
    let length: Int
    let stride: Int
    let seed: UInt64
    let stop = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)

    init(rings: GuardedMemory, arena: GuardedMemory, length: Int, stride: Int, seed: UInt64) {
      self.rings = rings
      self.arena = arena
      self.length = length
      self.stride = stride
      self.seed = seed
      stop.initialize(to: 0)
    }

    deinit { stop.deallocate() }

    func run() {
      var generator = SeededGenerator(seed: seed)
      while bh_load32(stop) == 0 {
        let bits = generator.next()
        let queue = rings.base + Int(bits & 1) * stride
        let place = queue + Int(bits >> 8 & 0xFFFF) % (length / 2) * 2
        switch bits >> 1 & 7 {
        case 0: bh_store16(place, UInt16(truncatingIfNeeded: bits >> 32))
        case 1, 2: bh_store16(place, bh_load16(place) ^ 1 << UInt16(bits >> 24 & 15))
        case 3: bh_store16(place, UInt16(bits >> 32 & 15))
        default:
          let byte = arena.base + Int(bits >> 16 & 0xFFFF_FFFF) % (arena.count / 2) * 2
          bh_store16(byte, UInt16(truncatingIfNeeded: bits >> 32))
        }
      }
    }
  }

  private let shared: Shared
  private var thread = pthread_t()

  /// - Parameter length: bytes of each queue.
  init(rings: GuardedMemory, arena: GuardedMemory, length: Int, stride: Int, seed: UInt64) throws(Failure) {
    shared = Shared(rings: rings, arena: arena, length: length, stride: stride, seed: seed)
    let context = Unmanaged.passRetained(shared)
    let error = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        Unmanaged<Shared>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, context.toOpaque())
    guard error == 0 else {
      context.release()
      throw Failure("thread", "start a thread", errno: error)
    }
  }

  /// Returns when the thread has ended.
  func stop() {
    bh_store32(shared.stop, 1)
    pthread_join(thread, nil)
  }
}
