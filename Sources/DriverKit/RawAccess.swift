import CBulkhead
import Virtqueue

// What a driver's author does not see and a malicious driver has anyway: its files and memory as they are. The hostile
// driver needs it to break the rules on purpose.

extension Device {
  /// The number of this driver among its broker's drivers.
  package var generation: UInt32 { control.generation }

  /// Sends bytes to the broker, whatever they are.
  package func sendRaw(_ bytes: [UInt8]) throws(DriverFailure) { try control.sendUnchecked(bytes) }
}

extension BlockQueue {
  /// Writes `word` where the status of `request` belongs.
  package func forgeStatus(_ request: BlockRequest, _ word: UInt64) {
    bh_store64(state.pointee.space.base + request.statusOffset, word)
  }

  /// Gives back `head` instead of the one that was taken.
  package func forgeCompletion(head: UInt16, length: UInt32) {
    state.pointee.ring.complete(head: head, length: length)
  }

  /// Claims `distance` completions that are not there.
  package func forgeUsedIndex(ahead distance: UInt16) {
    let place = state.pointee.space.base + state.pointee.space.layout.queue.usedOffset + 2
    bh_store16_release(place, bh_load16(place) &+ distance)
    EventDescriptor.signal(state.pointee.call)
  }

  /// Descriptors of the queue.
  package var size: Int { state.pointee.ring.size }
}

extension NetworkQueue {
  /// The whole virtqueue.
  package var rawMemory: UnsafeMutableRawPointer { state.pointee.memory }
  package var rawLayout: VirtqueueLayout { state.pointee.layout }

  /// Wakes the outlet.
  package func rawCall() { EventDescriptor.signal(state.pointee.call) }
}

extension BlockRequest {
  package var rawHead: UInt16 { head }
  package var rawTag: UInt32 { tag }
}
