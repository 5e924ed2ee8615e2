import DriverKit
import DriverRig
import Glibc

@testable import NVMe

/// A controller in memory, written from the specification and not from the driver: offsets are spelled out as numbers.
/// It works off a queue whenever its doorbell is written, on the caller's thread.
final class FakeController {
  static let blockShift = 9

  struct Queue {
    var base: UInt64
    var entries: Int
    var index = 0
    var phase: UInt16 = 1
    var vector: UInt16 = 0
  }

  var capabilities: UInt64 = 63 | 1 << 16 | 2 << 24 | 1 << 37
  var registers: [Int: UInt32] = [0x08: 0x0001_0400]
  var memories: [FakeMemory]
  var disk: [UInt8]
  var blockShift: Int
  /// Addresses that the device was told to use and that are in no memory.
  var faults: [UInt64] = []
  var submission: [UInt16: Queue] = [:]
  var completion: [UInt16: Queue] = [:]
  /// Commands that were executed, I/O only.
  var log: [SubmissionEntry] = []
  var admin: [SubmissionEntry] = []
  var starts = 0

  // Misbehaviour.
  var isGone = false
  var neverBecomesReady = false
  var isFatal = false
  /// Status fields (without phase) for the next I/O commands.
  var statuses: [UInt16] = []
  /// I/O commands that are swallowed.
  var swallow = 0
  /// Changes what is written as command identifier.
  var identifier: (UInt16) -> UInt16 = { $0 }
  var repeatsCompletions = false
  var queueLimit: UInt32 = 64
  var namespaces: [UInt32] = [1]
  var metadataSize: UInt32 = 0
  /// What Identify says instead of the truth.
  var claimedBlockShift: Int?
  var claimedBlocks: UInt64?
  var deallocation: UInt8 = 9

  init(memories: [FakeMemory], blocks: Int, blockShift: Int = FakeController.blockShift) {
    self.memories = memories
    self.blockShift = blockShift
    disk = [UInt8](repeating: 0, count: blocks << blockShift)
  }

  /// BAR 0 as a trap: each access comes here.
  func bar(length: Int = 0x2000) -> Bar {
    let context = Unmanaged.passUnretained(self).toOpaque()
    return Bar(
      windows: [Bar.Window(offset: 0, length: length, base: nil)],
      mediator: BarMediator(
        context: context,
        read: { context, offset, width in
          Unmanaged<FakeController>.fromOpaque(context!).takeUnretainedValue().read(offset, width)
        },
        write: { context, offset, width, value in
          Unmanaged<FakeController>.fromOpaque(context!).takeUnretainedValue().write(offset, width, value)
        }))
  }

  private func read(_ offset: Int, _ width: Int) -> UInt64 {
    precondition(width == 4, "registers are accessed in halves")
    if isGone { return 0xffff_ffff }
    switch offset {
    case 0x00: return capabilities & 0xffff_ffff
    case 0x04: return capabilities >> 32
    case 0x1c: return UInt64(status)
    default: return UInt64(registers[offset] ?? 0)
    }
  }

  private var status: UInt32 {
    let configuration = registers[0x14] ?? 0
    var status: UInt32 = configuration & 1 == 1 && !neverBecomesReady ? 1 : 0
    if isFatal { status |= 2 }
    if configuration >> 14 & 3 != 0 { status |= 2 << 2 }
    return status
  }

  private func write(_ offset: Int, _ width: Int, _ value: UInt64) {
    precondition(width == 4, "registers are accessed in halves")
    guard !isGone else { return }
    if offset >= 0x1000 { return doorbell((offset - 0x1000) / 4, Int(value)) }
    let old = registers[offset] ?? 0
    registers[offset] = UInt32(value)
    guard offset == 0x14 else { return }
    if value & 1 == 0 { (submission, completion) = ([:], [:]) }
    if value & 1 == 1, old & 1 == 0 { start() }
  }

  private func start() {
    starts += 1
    isFatal = false
    let attributes = registers[0x24] ?? 0
    submission[0] = Queue(base: address(0x28), entries: Int(attributes & 0xfff) + 1)
    completion[0] = Queue(base: address(0x30), entries: Int(attributes >> 16 & 0xfff) + 1)
  }

  private func address(_ offset: Int) -> UInt64 {
    UInt64(registers[offset] ?? 0) | UInt64(registers[offset + 4] ?? 0) << 32
  }

  private func doorbell(_ number: Int, _ value: Int) {
    let id = UInt16(number / 2)
    guard number % 2 == 0 else { return }
    while let queue = submission[id], queue.index != value {
      submission[id]?.index = (queue.index + 1) % queue.entries
      guard let place = at(queue.base + UInt64(queue.index * 64), 64) else { return }
      let entry = place.load(as: SubmissionEntry.self)
      id == 0 ? executeAdmin(entry) : execute(entry, on: id)
    }
  }

  func at(_ address: UInt64, _ length: Int) -> UnsafeMutableRawPointer? {
    for memory in memories { if let place = memory.find(address, length) { return place } }
    faults.append(address)
    return nil
  }

  /// Writes one completion, its phase last.
  func complete(_ id: UInt16, on queue: UInt16, result: UInt32 = 0, status: UInt16 = 0) {
    guard var ring = completion[queue], let place = at(ring.base + UInt64(ring.index * 16), 16) else { return }
    place.storeBytes(of: result, as: UInt32.self)
    place.storeBytes(of: queue, toByteOffset: 10, as: UInt16.self)
    place.storeBytes(of: identifier(id), toByteOffset: 12, as: UInt16.self)
    place.storeBytes(of: status << 1 | ring.phase, toByteOffset: 14, as: UInt16.self)
    ring.index += 1
    if ring.index == ring.entries { (ring.index, ring.phase) = (0, ring.phase ^ 1) }
    completion[queue] = ring
  }
}
