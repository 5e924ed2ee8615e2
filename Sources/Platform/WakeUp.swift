import CBulkhead
import Glibc

/// What it takes on this machine to wake a thread that sleeps: the yardstick for how long it is better not to sleep.
///
/// Seen: about 20 µs in a virtual machine, 100 to 200 in one that QEMU emulates inside of it.
public enum WakeUp {
  /// Nanoseconds from when a thread is to be woken until it runs. Measured when it is first asked for, which takes some
  /// milliseconds; 10 µs where it cannot be measured.
  public static let cost: Nanoseconds = measure(rounds: 33) ?? 10_000

  /// How late a thread runs that sleeps until a point in time.
  /// - Parameter rounds: how often it sleeps; odd.
  /// - Returns: the median in nanoseconds, or nil where there is no timer.
  static func measure(rounds: Int) -> Nanoseconds? {
    let timer = bh_timer_file()
    guard timer >= 0 else { return nil }
    defer { Descriptor.close(timer) }
    var late: [Nanoseconds] = []
    late.reserveCapacity(rounds)
    for _ in 0..<rounds {
      let due = monotonicNow() + sleep
      guard bh_timer_set(timer, due) == 0 else { return nil }
      var entry = pollfd(fd: timer, events: Int16(POLLIN), revents: 0)
      // More than it can take, so that it ends.
      guard bh_ppoll(&entry, 1, 1_000_000_000) == 1 else { return nil }
      late.append(max(0, monotonicNow() - due))
      EventDescriptor.drain(timer)
    }
    late.sort()
    return late[rounds / 2]
  }

  /// Nanoseconds; long enough that the processor goes to sleep, too.
  private static let sleep: Nanoseconds = 300_000
}
