import CBulkhead
import Glibc

/// What the driver's one loop waits for: the control socket, the interrupts, the kicks. Made once, in this order.
///
/// A value without references, so that using it counts none; its owner deallocates it.
struct EventTable {
  private let entries: UnsafeMutablePointer<pollfd>
  private let count: Int

  init(control: Int32, interrupts: [Int32], kicks: [Int32]) {
    let files = [control] + interrupts + kicks
    count = files.count
    entries = .allocate(capacity: count)
    for (index, file) in files.enumerated() {
      (entries + index).initialize(to: pollfd(fd: file, events: Int16(POLLIN), revents: 0))
    }
  }

  func deallocate() { entries.deallocate() }

  /// Waits at most `nanoseconds` (< 0: until something happens) and resets the eventfds that were signalled.
  /// - Returns: whether the control socket has something to say.
  func wait(_ nanoseconds: Nanoseconds) -> Bool { wait(nanoseconds, count) }

  /// Whether the last wait for everything saw a signal of interrupt `vector`.
  func isSignalled(interrupt vector: Int) -> Bool { entries[1 + vector].revents != 0 }

  /// The same for the control socket alone.
  func waitForControl(_ nanoseconds: Nanoseconds) -> Bool { wait(nanoseconds, 1) }

  private func wait(_ nanoseconds: Nanoseconds, _ count: Int) -> Bool {
    let ready = bh_ppoll(entries, UInt64(count), nanoseconds)
    guard ready > 0 else { return false }
    var index = 1
    while index < count {
      if entries[index].revents != 0 { EventDescriptor.drain(entries[index].fd) }
      index += 1
    }
    return entries[0].revents != 0
  }
}
