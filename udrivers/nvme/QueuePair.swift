import CBulkhead
import DriverKit

/// A submission queue and the completion queue of the same number: NVMe 2.0 section 3.3.1.
///
/// Entries are written and read here; that never more commands are in flight than there is room for is the business of
/// the caller (at most ``capacity``).
public struct QueuePair: ~Copyable {
  /// Queue identifier; 0 is the admin queue.
  public let id: UInt16
  /// Entries of each of the two queues.
  public let entries: Int
  public let submissionAddress: UInt64
  public let completionAddress: UInt64

  private let submission: UnsafeMutablePointer<SubmissionEntry>
  private let completion: UnsafeMutableRawPointer
  private let bar: Bar
  private let tailDoorbell: Register<UInt32>
  private let headDoorbell: Register<UInt32>
  private var tail: UInt32 = 0
  private var shownTail: UInt32 = 0
  private var head: UInt32 = 0
  private var shownHead: UInt32 = 0
  /// Value of the phase tag in new entries: 1 in the first pass, inverted with each (section 3.3.3.2.2).
  private var phase: UInt16 = 1

  /// Commands that may be in flight: a full queue has one free entry (section 3.3.1.5).
  public var capacity: Int { entries - 1 }

  /// Takes its memory from `arena`.
  /// - Throws: ``FailureCode/resources`` when there is no memory or the doorbells were not granted.
  public init(
    id: UInt16, entries: Int, arena: inout Arena, bar: Bar, doorbellStride: Int
  ) throws(DriverFailure) {
    let tailDoorbell = ControllerRegister.submissionTail(id, stride: doorbellStride)
    let headDoorbell = ControllerRegister.completionHead(id, stride: doorbellStride)
    guard bar.covers(tailDoorbell.offset, 4), bar.covers(headDoorbell.offset, 4) else {
      throw DriverFailure(.resources, "the doorbells of queue \(id) are outside the granted range of BAR 0")
    }
    let submissionMemory = try arena.allocate(
      entries * MemoryLayout<SubmissionEntry>.stride, for: "submission queue \(id)")
    let completionMemory = try arena.allocate(
      entries * MemoryLayout<CompletionEntry>.stride, for: "completion queue \(id)")
    self.id = id
    self.entries = entries
    self.bar = bar
    self.tailDoorbell = tailDoorbell
    self.headDoorbell = headDoorbell
    submission = submissionMemory.pointer.bindMemory(to: SubmissionEntry.self, capacity: entries)
    submissionAddress = submissionMemory.address
    completion = completionMemory.pointer
    completionAddress = completionMemory.address
  }

  /// Begins anew after a controller reset.
  public mutating func reset() {
    completion.initializeMemory(
      as: UInt8.self, repeating: 0, count: entries * MemoryLayout<CompletionEntry>.stride)
    (tail, shownTail, head, shownHead, phase) = (0, 0, 0, 0, 1)
  }

  /// Puts one command into the queue; the controller sees it after ``ring()``.
  @inline(__always)
  public mutating func push(_ entry: SubmissionEntry) {
    submission[Int(tail)] = entry
    tail = tail + 1 == UInt32(entries) ? 0 : tail + 1
  }

  /// Tells the controller of new commands, if there are any.
  @inline(__always)
  public mutating func ring() {
    guard tail != shownTail else { return }
    bh_dma_write_barrier()
    bar.write(tailDoorbell, tail)
    shownTail = tail
  }

  /// Takes the next completion. The status word is read first, the rest only when its phase says that it is new.
  @inline(__always)
  public mutating func pop() -> CompletionEntry? {
    let place = completion + Int(head) * MemoryLayout<CompletionEntry>.stride
    let word = bh_load16_acquire(place + CompletionEntry.phaseOffset)
    guard word & 1 == phase else { return nil }
    bh_dma_read_barrier()
    var entry = CompletionEntry()
    entry.result = bh_load32(place)
    entry.submissionHead = bh_load16(place + 8)
    entry.submissionQueue = bh_load16(place + 10)
    entry.commandID = bh_load16(place + 12)
    entry.statusAndPhase = word
    head += 1
    if head == UInt32(entries) {
      head = 0
      phase ^= 1
    }
    return entry
  }

  /// Gives the entries that were taken back to the controller. Comes before ``ring()``, so that new commands never
  /// outnumber the room for their completions.
  @inline(__always)
  public mutating func acknowledge() {
    guard head != shownHead else { return }
    bar.write(headDoorbell, head)
    shownHead = head
  }
}
