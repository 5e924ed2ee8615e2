import CBulkhead
import Glibc

/// A point in time on the monotonic clock, in nanoseconds.
public typealias Nanoseconds = Int64

/// Now, on the monotonic clock.
@inline(__always)
public func monotonicNow() -> Nanoseconds { bh_monotonic_ns() }

/// One thread, one loop: files, timers, and work to poll for while busy.
///
/// Its timers are a file too (timerfd), set when the earliest one changes and not at each wait: a wait without a time-out
/// needs no clock, which on some machines is as slow as a system call. Nothing is allocated while it runs unless a source
/// is added. Handlers run on the thread that called ``run()``.
public final class EventLoop {
  /// Names a source for its removal.
  public struct Token: Hashable, Sendable { let value: Int }

  /// A closure in a box that can be called without counting references: for each event it would be counted twice.
  private final class Handler {
    let body: (Int16) -> Void
    init(_ body: @escaping (Int16) -> Void) { self.body = body }
  }

  private final class Poller {
    let body: () -> Bool
    init(_ body: @escaping () -> Bool) { self.body = body }
  }

  private struct Source {
    var token: Int
    var events: Int16
    /// Owned; released a turn after it was removed, since it may be what runs now.
    var handler: Unmanaged<Handler>
  }

  private struct Timer {
    var token: Int
    var due: Nanoseconds
    var interval: Nanoseconds
    var handler: () -> Void
  }

  private var polled: [pollfd] = []
  private var sources: [Source] = []
  private var timers: [Timer] = []
  private var pollers: [Unmanaged<Poller>] = []
  /// Handlers that were removed.
  private var retired: [Unmanaged<Handler>] = []
  private var nextToken = 0
  private var running = false
  /// -1 where there was no room for another file: waits have a time-out then.
  private let timerFile: Int32
  /// When ``timerFile`` expires; `.max` where it is not set.
  private var expiry: Nanoseconds = .max
  private var hasExpired = false
  /// The source whose handler runs.
  private var dispatched = 0
  /// How often the loop slept and was woken.
  public private(set) var wakeups: UInt64 = 0

  public init() {
    timerFile = bh_timer_file()
    guard timerFile >= 0 else { return }
    watch(timerFile) { [unowned self] _ in self.hasExpired = true }
  }

  deinit {
    if timerFile >= 0 { Descriptor.close(timerFile) }
    for source in sources { source.handler.release() }
    for handler in retired { handler.release() }
    for poller in pollers { poller.release() }
  }

  /// Calls `handler` with the poll(2) `revents` whenever `file` is ready for `events` (POLLIN, POLLOUT).
  @discardableResult
  public func watch(_ file: Int32, events: Int32 = POLLIN, handler: @escaping (Int16) -> Void) -> Token {
    let token = makeToken()
    polled.append(pollfd(fd: file, events: Int16(events), revents: 0))
    sources.append(Source(token: token.value, events: Int16(events), handler: .passRetained(Handler(handler))))
    return token
  }

  /// Changes what a watched file is waited for; 0 leaves only hang-up and error.
  public func setEvents(_ events: Int32, for token: Token) {
    guard let index = sources.firstIndex(where: { $0.token == token.value }) else { return }
    sources[index].events = Int16(events)
    polled[index].events = Int16(events)
  }

  /// Calls `handler` after `delay`, then every `interval` if that is not 0.
  @discardableResult
  public func after(_ delay: Nanoseconds, every interval: Nanoseconds = 0, handler: @escaping () -> Void) -> Token {
    let token = makeToken()
    timers.append(Timer(token: token.value, due: monotonicNow() + delay, interval: interval, handler: handler))
    setExpiry()
    return token
  }

  /// Adds work that is looked for before each sleep; it returns whether it found any.
  public func poll(_ poller: @escaping () -> Bool) { pollers.append(.passRetained(Poller(poller))) }

  /// Forgets a file or a timer. The file is not closed.
  public func remove(_ token: Token) {
    if let index = sources.firstIndex(where: { $0.token == token.value }) {
      retired.append(sources.remove(at: index).handler)
      polled.remove(at: index)
      // What is behind it moves up, under the loop that may be on its way through the list.
      if index <= dispatched { dispatched -= 1 }
    }
    timers.removeAll { $0.token == token.value }
  }

  /// Makes ``run()`` return after the handler that runs now.
  public func stop() { running = false }

  /// Runs until ``stop()``.
  /// - Throws: ``Failure`` `ppoll` if the kernel refuses to wait.
  public func run() throws(Failure) {
    running = true
    while running {
      var worked = false
      var index = 0
      while index < pollers.count {
        if pollers[index]._withUnsafeGuaranteedRef({ $0.body() }) { worked = true }
        index += 1
      }
      try turn(waiting: worked ? 0 : timerFile >= 0 ? -1 : timeUntilNextTimer())
    }
  }

  /// One round: waits at most `nanoseconds` (< 0: until something happens), then runs what is due.
  public func turn(waiting nanoseconds: Nanoseconds) throws(Failure) {
    if !retired.isEmpty { releaseRetired() }
    let ready = polled.withUnsafeMutableBufferPointer { bh_ppoll($0.baseAddress, UInt64($0.count), nanoseconds) }
    if nanoseconds != 0 { wakeups &+= 1 }
    if ready != -EINTR { try checked(ready, "ppoll", "wait for events") }
    if ready > 0 { dispatch(ready) }
    if timerFile < 0 { return fireTimers() }
    guard hasExpired else { return }
    hasExpired = false
    EventDescriptor.drain(timerFile)
    expiry = .max
    fireTimers()
    setExpiry()
  }

  /// Sets the timer's file if the earliest timer is earlier than what it is set to. One that is removed leaves it as it
  /// is: the loop wakes up once for nothing.
  @inline(never)
  private func setExpiry() {
    guard timerFile >= 0, let due = timers.lazy.map(\.due).min(), due < expiry else { return }
    expiry = due
    let result = bh_timer_set(timerFile, max(1, due))
    precondition(result == 0, "timerfd_settime(2) refuses a time")
  }

  @inline(never)
  private func releaseRetired() {
    // What goes with a handler may remove another one.
    var gone: [Unmanaged<Handler>] = []
    swap(&gone, &retired)
    for handler in gone { handler.release() }
  }

  private func dispatch(_ ready: Int32) {
    var left = ready
    dispatched = 0
    // All of them in each round, whoever comes or goes: those at the end of the list would not have a turn otherwise while
    // somebody at its beginning does nothing but come and go.
    while left > 0, dispatched < polled.count {
      let events = polled[dispatched].revents
      if events != 0 {
        left -= 1
        sources[dispatched].handler._withUnsafeGuaranteedRef { $0.body(events) }
      }
      dispatched += 1
    }
  }

  @inline(never)
  private func fireTimers() {
    guard !timers.isEmpty else { return }
    let now = monotonicNow()
    var index = 0
    while index < timers.count {
      guard timers[index].due <= now else {
        index += 1
        continue
      }
      let timer = timers[index]
      if timer.interval > 0 {
        // Skip the beats that were missed, so that a stopped process does not catch up in a burst.
        timers[index].due = max(timer.due + timer.interval, now + 1)
        index += 1
      } else {
        timers.remove(at: index)
      }
      let count = timers.count
      timer.handler()
      if timers.count != count { return }
    }
  }

  private func timeUntilNextTimer() -> Nanoseconds {
    var earliest: Nanoseconds?
    for timer in timers where earliest.map({ timer.due < $0 }) ?? true { earliest = timer.due }
    guard let earliest else { return -1 }
    return max(0, earliest - monotonicNow())
  }

  private func makeToken() -> Token {
    nextToken += 1
    return Token(value: nextToken)
  }
}
