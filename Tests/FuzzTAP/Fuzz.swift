import Broker
import CBulkhead
import Glibc
import Platform
import Protocol
import TAPProxy
import Virtqueue

/// What a run has seen.
public struct FuzzReport: Sendable {
  public var rounds: UInt64 = 0
  /// Drivers, each with fresh rings.
  public var drivers: UInt64 = 0
  /// Faults that ended a driver, by the name of their violation.
  public var faults: [String: UInt64] = [:]
  public var framesOut: UInt64 = 0
  public var framesIn: UInt64 = 0
  public var refused: UInt64 = 0
  /// How often memory of the driver was handed to the TAP.
  public var accesses: UInt64 = 0

  public init() {}

  public static func += (sum: inout FuzzReport, other: FuzzReport) {
    sum.rounds += other.rounds
    sum.drivers += other.drivers
    sum.faults.merge(other.faults, uniquingKeysWith: +)
    sum.framesOut += other.framesOut
    sum.framesIn += other.framesIn
    sum.refused += other.refused
    sum.accesses += other.accesses
  }
}

/// Something that must not be: which run shows it again, and what it was.
public struct FuzzFinding: Error, CustomStringConvertible {
  public var seed: UInt64
  public var round: UInt64
  public var what: String

  public var description: String { "seed \(seed), round \(round): \(what)" }
}

/// The broker's TAP worker under a driver that writes whatever it likes.
///
/// Rings and arena have nothing around them, so that the first access outside ends the process; the TAP checks each piece
/// of memory that it is given. After each round of an undisturbed run, the worker must have written nothing but the used
/// rings, and must have counted what the TAP has seen.
public final class Fuzz {
  private static let arenaSize = 1 << 18
  /// Rounds that one driver lives, if it is not ended before.
  private static let lifetime: UInt64 = 200
  /// Turns of the worker after which it must have nothing left: more than the entries of both rings can give it.
  private static let turns = 64
  /// What is behind a queue, up to the next one.
  private static let canary: UInt8 = 0xC5

  private let seed: UInt64
  private let layout: VirtqueueLayout
  private let slotted: SlottedQueueLayout
  private let rings: GuardedMemory
  private let arena: GuardedMemory
  private let sink: FuzzSink
  private let worker: TAPWorker<FuzzPort>
  private let queues: DriverQueues
  private let files: [Int32]
  private let tapFile: Int32
  private var guest: HostileGuest
  private var generator: SeededGenerator
  private let before: UnsafeMutableRawPointer
  private var report = FuzzReport()
  /// What the worker has given back in each ring, since it was fresh.
  private var returned: (out: UInt64, back: UInt64) = (0, 0)

  /// - Parameters:
  ///   - queueSize: descriptors of each queue.
  ///   - tap: a real TAP's queue; -1: one in memory.
  public init(seed: UInt64, queueSize: Int = 16, tap: Int32 = -1) throws(Failure) {
    self.seed = seed
    slotted = SlottedQueueLayout(queueSize: queueSize, slots: 0, slotSize: 0)
    layout = slotted.queue
    rings = try GuardedMemory(count: 2 * slotted.stride)
    arena = try GuardedMemory(count: Self.arenaSize)
    sink = FuzzSink(arena: arena, file: tap, seed: seed ^ 1)
    var files: [Int32] = []
    for _ in 0..<5 { files.append(try EventDescriptor.make().release()) }
    self.files = files
    tapFile = tap >= 0 ? tap : files[4]
    worker = TAPWorker(loop: EventLoop(), pairs: 1, spin: 0)
    queues = DriverQueues(
      base: rings.base, layout: slotted, count: 2, kicks: Array(files[..<2]), calls: Array(files[2..<4]),
      arena: UnsafeMutableRawBufferPointer(start: arena.base, count: arena.count))
    guest = HostileGuest(rings: rings, arena: arena, layout: layout, stride: slotted.stride, seed: seed ^ 2)
    generator = SeededGenerator(seed: seed)
    before = .allocate(byteCount: 2 * layout.usedOffset, alignment: 16)
    for queue in 0..<2 {
      let end = queue * slotted.stride + layout.byteCount
      memset(rings.base + end, Int32(Self.canary), (queue + 1) * slotted.stride - end)
    }
  }

  deinit {
    before.deallocate()
    for file in files { Descriptor.close(file) }
  }

  /// - Parameter isRacing: another thread changes everything meanwhile, so that less can be said of a round.
  /// - Throws: ``FuzzFinding``; ``Failure`` where there is no thread.
  public func run(rounds: UInt64, isRacing: Bool) throws -> FuzzReport {
    var flipper: Flipper?
    if isRacing {
      flipper = try Flipper(
        rings: rings, arena: arena, length: layout.byteCount, stride: slotted.stride, seed: seed ^ 3)
    }
    defer {
      flipper?.stop()
      worker.stop()
    }
    var age = Self.lifetime
    for _ in 0..<rounds {
      if age >= Self.lifetime || worker.fault != nil {
        begin()
        age = 0
      }
      age += 1
      try round(isRacing)
      report.rounds += 1
    }
    let counters = worker.counters
    report.framesOut = counters.framesOut
    report.framesIn = counters.framesIn
    report.refused = counters.refused
    report.accesses = sink.accesses
    return report
  }

  private func begin() {
    worker.stop()
    guest.begin()
    returned = (0, 0)
    worker.start(queues, ports: [(FuzzPort(sink: sink), tapFile)])
    report.drivers += 1
  }

  private func round(_ isRacing: Bool) throws {
    for _ in 0...generator.below(4) { guest.act() }
    sink.pending = generator.below(4)
    if !isRacing { remember() }
    let counters = worker.counters
    let accesses = sink.accesses
    var turns = 0
    while worker.poll() {
      turns += 1
      // A racing guest offers more meanwhile.
      guard turns < Self.turns else {
        if isRacing { break }
        throw finding("the worker comes to no end")
      }
    }
    try check(counters, isRacing)
    guard let fault = worker.fault else { return }
    report.faults[fault.fault.violation.name, default: 0] += 1
    // Nothing is carried for a driver that has broken its word.
    let last = sink.accesses
    guard !worker.poll(), sink.accesses == last, last >= accesses else { throw finding("served after a fault") }
  }

  /// What only the guest may write: descriptors and available ring.
  private func remember() {
    for queue in 0..<2 {
      memcpy(before + queue * layout.usedOffset, rings.base + queue * slotted.stride, layout.usedOffset)
    }
  }

  private func check(_ old: WorkerCounters, _ isRacing: Bool) throws {
    guard sink.escapes == 0 else { throw finding("memory outside the arena was handed to the TAP") }
    let new = worker.counters
    guard new.framesIn == sink.sent, new.framesOut + new.cut == sink.received, new.refused >= sink.refused,
      new.invalid >= sink.invalid, new.invalid <= new.refused
    else { throw finding("counted \(new), and the TAP has seen other things") }
    guard new.bytesOut >= old.bytesOut, new.bytesIn >= old.bytesIn,
      new.bytesIn - old.bytesIn <= (new.framesIn - old.framesIn) * UInt64(NetworkClass.maximumSegmentedFrame)
    else { throw finding("bytes of \(old) and \(new)") }
    guard !isRacing else { return }
    returned.out += new.framesOut - old.framesOut
    returned.back += new.framesIn - old.framesIn + new.refused - old.refused
    for (queue, count) in [returned.out, returned.back].enumerated() {
      let base = rings.base + queue * slotted.stride
      guard memcmp(before + queue * layout.usedOffset, base, layout.usedOffset) == 0 else {
        throw finding("queue \(queue): the worker wrote into what is the driver's")
      }
      guard guest.isUsedForged[queue] || guest.queues[queue].used == UInt16(truncatingIfNeeded: count) else {
        throw finding("queue \(queue): \(count) chains came back, the ring says \(guest.queues[queue].used)")
      }
      // The place right behind the queue; all of it is looked at in time.
      let gap = slotted.stride - layout.byteCount
      let place = report.rounds % 64 == 0 ? 0 : gap - 32
      let length = report.rounds % 64 == 0 ? gap : 32
      for index in place..<place + length
      where base.load(fromByteOffset: layout.byteCount + index, as: UInt8.self) != Self.canary {
        throw finding("queue \(queue): something was written behind it")
      }
    }
  }

  private func finding(_ what: String) -> FuzzFinding {
    FuzzFinding(seed: seed, round: report.rounds, what: what)
  }
}
