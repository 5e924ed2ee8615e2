import Broker
import Protocol
import Virtqueue

/// What comes back from the driver.
extension Dispatcher {
  /// Takes completions. Returns whether there were any.
  func collect() -> Bool {
    var worked = false
    var queue = 0
    // A completion can end the driver, and with it the queues.
    while isRunning, queue < slots.queues {
      do throws(VirtqueueError) {
        while let used = try guests[queue].nextUsed() {
          worked = true
          complete(queue: queue, used)
        }
        queue += 1
      } catch {
        worked = true
        guard isUsable(queue, after: error) else { return true }
      }
    }
    return worked
  }

  private func complete(queue: Int, _ used: UsedElement) {
    let slot = Int(used.id) / BlockClass.descriptorsPerSlot
    guard Int(used.id) % BlockClass.descriptorsPerSlot == 0, slot < slots.slots, slots[queue, slot].isInFlight else {
      return violated(.completionUnknown, queue, slot, used.id)
    }
    let part = slots[queue, slot]
    var error = NBD.ErrorCode.ioError
    switch CompletionStatus(slots.status(queue: queue, slot: slot, base: base), tag: part.tag) {
    case .done(let result): error = result
    case .stale:
      // The request stays in flight; if nothing better comes it is replayed.
      return violated(.completionStale, queue, slot, used.id)
    case .invalid: violated(.completionInvalid, queue, slot, used.id)
    }
    let room = UInt64(part.operation == .read ? part.length : 0) + UInt64(BlockClass.statusSize)
    if UInt64(used.length) > room {
      violated(.completionInvalid, queue, slot, used.id)
      error = NBD.ErrorCode.ioError
    }
    slots.release(queue: queue, slot: slot)
    completed(part.request, error: error, offset: part.offset)
  }

  /// Out of line, as it is no part of a request that goes well: it makes texts, and calls whoever is the host.
  @inline(never)
  private func violated(_ violation: Violation, _ queue: Int, _ slot: Int, _ id: UInt32) {
    host?.violated(violation, "queue \(queue), slot \(slot), id \(id)")
  }

  /// Whether completions can still be taken from a queue.
  @inline(never)
  private func isUsable(_ queue: Int, after error: VirtqueueError) -> Bool {
    if case .indexOutOfRange(let id) = error {
      host?.violated(.completionUnknown, "queue \(queue): id \(id)")
      return true
    }
    host?.distrustDriver(.usedIndexInvalid, "queue \(queue): \(error)")
    return false
  }

  private func completed(_ index: Int32, error: UInt32, offset: UInt64) {
    requests[index].parts -= 1
    if error != 0 { failed(index, error, offset) }
    guard requests[index].parts == 0, requests[index].state == .active else { return }
    if requests[index].flushAfter, !requests[index].isFlushing, requests[index].error == 0 {
      requests[index].isFlushing = true
      enqueue(index)
    } else {
      finish(index)
    }
  }

  /// Of several parts that fail the one that comes first on the device counts. Parts are issued in that order, so all
  /// before it were carried out.
  private func failed(_ index: Int32, _ error: UInt32, _ offset: UInt64) {
    let request = requests[index]
    guard request.error == 0 || (request.complaint == .device && offset < request.errorOffset) else { return }
    requests[index].error = error
    requests[index].complaint = .device
    requests[index].errorOffset = offset
  }

  /// Asks the driver to call when something completes. Returns whether something has already.
  func enableCalls() -> Bool {
    guard isRunning else { return false }
    var found = false
    for queue in 0..<slots.queues where guests[queue].enableCalls() { found = true }
    return found
  }

  func disableCalls() {
    guard isRunning else { return }
    for queue in 0..<slots.queues { guests[queue].disableCalls() }
  }
}
