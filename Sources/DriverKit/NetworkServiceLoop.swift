import CBulkhead

/// The one loop of a network driver: the same waiting as ``ServiceLoop``, with settings and statistics beside it.
final class NetworkServiceLoop<Driver: NetworkDriver> {
  private let device: Device
  private let driver: Driver
  private let queues: UnsafeMutableBufferPointer<NetworkQueue>
  private let vectors: Int
  private var spin: AdaptiveSpin
  /// How often the loop slept.
  private(set) var sleeps: UInt64 = 0

  /// Rounds of uninterrupted work after which heartbeats, settings and timers get their turn.
  private static var roundsBetweenTurns: UInt { 64 }
  /// Looks in vain that count as one round of work.
  private static var looksForOneRound: UInt { 64 }

  init(device: Device, driver: Driver) {
    self.device = device
    self.driver = driver
    queues = .allocate(capacity: device.networkQueues.count)
    _ = queues.initialize(from: device.networkQueues)
    vectors = device.interruptCount
    spin = AdaptiveSpin(limit: Nanoseconds(device.grant.spinMicroseconds) * 1000)
  }

  deinit { queues.deallocate() }

  /// Waits for the broker to say start, or stop. The first settings come before.
  func awaitStart() throws(DriverFailure) {
    while !device.isStarted, !device.isStopping {
      try device.pump(waiting: -1)
      try answer()
    }
  }

  /// Serves until the broker says stop.
  func run() throws(DriverFailure) {
    // What the driver offered before it was asked to serve.
    flush()
    var rounds: UInt = 0
    while !device.isStopping {
      let found = try round()
      // A look in vain takes far less than a turn, which is at least a system call.
      rounds &+= found ? Self.looksForOneRound : 1
      if rounds >= Self.roundsBetweenTurns * Self.looksForOneRound {
        rounds = 0
        try turn(waiting: 0)
      }
      if found {
        spin.found()
      } else if !spin.looksOn() {
        try sleep()
      }
    }
  }

  /// Looks everywhere once: at the device first, which makes room.
  /// - Returns: whether there was anything to do.
  func round() throws(DriverFailure) -> Bool {
    var worked = try driver.poll()
    for queue in queues where try driver.queueReady(queue) { worked = true }
    if worked { flush() }
    return worked
  }

  /// Shows the outlet what was offered.
  func flush() { for queue in queues { queue.flush() } }

  /// Arms the wakes and the interrupts, looks again, and sleeps if there is still nothing.
  private func sleep() throws(DriverFailure) {
    for queue in queues { queue.armWake() }
    defer { for queue in queues { queue.disarmWake() } }
    try driver.armInterrupts()
    if try round() { return }
    guard !device.isStopping else { return }
    let next = device.timers.next
    sleeps &+= 1
    try turn(waiting: next == .max ? -1 : max(0, next - bh_monotonic_coarse_ns()))
  }

  /// Waits at most so long, then gives the broker's messages and the timers their turn.
  private func turn(waiting nanoseconds: Nanoseconds) throws(DriverFailure) {
    if device.events.wait(nanoseconds) {
      try device.converse()
      try answer()
    }
    for vector in 0..<vectors where device.events.isSignalled(interrupt: vector) { try driver.interrupt(vector) }
    guard device.timers.next != .max else { return }
    let now = bh_monotonic_coarse_ns()
    while let timer = device.timers.take(at: now) { try driver.timer(timer) }
    flush()
  }

  /// Does what the broker asked for besides frames.
  private func answer() throws(DriverFailure) {
    guard !device.isStopping else { return }
    if let settings = device.takeSettings() {
      let errno = try driver.apply(settings)
      try device.control.send(
        .networkApplied(sequence: settings.sequence, errno: UInt16(truncatingIfNeeded: errno)))
      flush()
    }
    while !device.isStopping, device.takeCountRequest() {
      try device.control.send(.networkStatistics(try driver.statistics()))
    }
  }

  func logCounters() {
    for queue in queues {
      let counters = queue.counters
      Log.info("queue \(queue.index): \(counters.offered) offered, \(counters.completed) came back")
    }
    Log.debug("slept \(sleeps) times")
  }
}
