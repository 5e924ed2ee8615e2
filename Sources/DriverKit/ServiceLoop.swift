import CBulkhead

/// The driver's one loop. It polls while there is work, and for a while after; then it arms the events, looks once more,
/// and sleeps until something happens. An idle driver wakes up for heartbeats only.
final class ServiceLoop<Driver: BlockDriver> {
  private let device: Device
  private let driver: Driver
  private let queues: UnsafeMutableBufferPointer<BlockQueue>
  private let vectors: Int
  /// The device is quick, or it is not; so is the broker. Whether looking on pays is learned for each of them.
  private var completionSpin: AdaptiveSpin
  private var requestSpin: AdaptiveSpin
  /// How often the loop slept.
  private(set) var sleeps: UInt64 = 0

  /// Rounds of uninterrupted work after which heartbeats and timers get their turn.
  private static var roundsBetweenTurns: UInt { 64 }
  /// Looks in vain that count as one round of work.
  private static var looksForOneRound: UInt { 64 }

  init(device: Device, driver: Driver) {
    self.device = device
    self.driver = driver
    queues = .allocate(capacity: device.queues.count)
    _ = queues.initialize(from: device.queues)
    vectors = device.interruptCount
    completionSpin = AdaptiveSpin(limit: Nanoseconds(device.grant.spinMicroseconds) * 1000)
    requestSpin = completionSpin
  }

  deinit { queues.deallocate() }

  /// Waits for the broker to say start, or stop.
  func awaitStart() throws(DriverFailure) {
    while !device.isStarted, !device.isStopping { try device.pump(waiting: -1) }
  }

  /// Serves until the broker says stop.
  func run() throws(DriverFailure) {
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
        completionSpin.found()
        requestSpin.found()
      } else if !looksOn() {
        try sleep()
      }
    }
  }

  private func looksOn() -> Bool {
    for queue in queues where queue.outstanding > 0 { return completionSpin.looksOn() }
    return requestSpin.looksOn()
  }

  /// Looks everywhere once: at the device first, which makes room for requests.
  /// - Returns: whether there was anything to do.
  func round() throws(DriverFailure) -> Bool {
    var worked = false
    for vector in 0..<vectors where try driver.interrupt(vector) { worked = true }
    for queue in queues where try driver.queueReady(queue) { worked = true }
    if worked { flush() }
    return worked
  }

  /// Shows the broker what was completed.
  func flush() { for queue in queues { queue.flush() } }

  /// Arms the kicks, looks again, and sleeps if there is still nothing. Requests that the driver has no room for do not
  /// keep it awake: what makes room is an interrupt.
  private func sleep() throws(DriverFailure) {
    for queue in queues { queue.armKick() }
    defer { for queue in queues { queue.disarmKick() } }
    if try round() { return }
    guard !device.isStopping else { return }
    let next = device.timers.next
    sleeps &+= 1
    try turn(waiting: next == .max ? -1 : max(0, next - bh_monotonic_coarse_ns()))
  }

  /// Waits at most so long, then gives the broker's messages and the timers their turn.
  private func turn(waiting nanoseconds: Nanoseconds) throws(DriverFailure) {
    if device.events.wait(nanoseconds) { try device.converse() }
    guard device.timers.next != .max else { return }
    // Timers watch over devices: a few milliseconds are no matter, and the exact clock can be slow.
    let now = bh_monotonic_coarse_ns()
    while let timer = device.timers.take(at: now) { try driver.timer(timer) }
    flush()
  }

  func logCounters() {
    for queue in queues {
      let counters = queue.counters
      guard counters.requests + counters.malformed > 0 else { continue }
      Log.info(
        "queue \(queue.index): \(counters.requests) requests, \(counters.errors) errors, \(counters.malformed) malformed"
      )
    }
    Log.debug("slept \(sleeps) times")
  }
}
