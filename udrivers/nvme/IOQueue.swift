import DriverKit

/// A pair of I/O queues with the commands in flight on it.
struct IOQueue: ~Copyable {
  var pair: QueuePair
  var commands: CommandTable
  /// The interrupt vector of its completions.
  let vector: Int

  /// - Throws: ``FailureCode/resources``.
  init(
    id: UInt16, slots: Int, vector: Int, arena: inout Arena, bar: Bar, doorbellStride: Int
  ) throws(DriverFailure) {
    let pair = try QueuePair(id: id, entries: slots + 1, arena: &arena, bar: bar, doorbellStride: doorbellStride)
    let commands = try CommandTable(slots: slots, arena: &arena)
    self.pair = pair
    self.commands = commands
    self.vector = vector
  }
}

extension Controller {
  /// Creates both queues of `queue`, the completion queue first (NVMe 2.0 section 3.3.1.1).
  func create(_ queue: borrowing IOQueue) throws(DriverFailure) {
    let pair = queue.pair.id
    try execute(
      .createCompletionQueue(
        pair, entries: queue.pair.entries, vector: UInt16(queue.vector), at: queue.pair.completionAddress),
      "create completion queue \(pair)")
    try execute(
      .createSubmissionQueue(pair, entries: queue.pair.entries, at: queue.pair.submissionAddress),
      "create submission queue \(pair)")
  }

  /// Deletes both queues, the submission queue first.
  func delete(_ queue: borrowing IOQueue) throws(DriverFailure) {
    try execute(.deleteQueue(.deleteSubmissionQueue, queue.pair.id), "delete submission queue \(queue.pair.id)")
    try execute(.deleteQueue(.deleteCompletionQueue, queue.pair.id), "delete completion queue \(queue.pair.id)")
  }

  /// Asks for `count` I/O queue pairs.
  /// - Returns: how many there may be, at least one, at most `count`.
  func negotiateQueues(_ count: Int) throws(DriverFailure) -> Int {
    let answer = try execute(.setQueueCount(count), "set number of queues").result
    return min(count, Int(answer & 0xffff) + 1, Int(answer >> 16) + 1)
  }
}
