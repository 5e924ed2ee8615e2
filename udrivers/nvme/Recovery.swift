import DriverKit

/// What happens when commands fail or do not return: retry, abort, controller reset, and in the end giving up.
extension NVMeDriver {
  /// How often a command that may be retried (DNR = 0) is given to the controller again.
  static let maximumRetries: UInt8 = 3
  /// After the first time-out a command is aborted, after the second the controller is reset, after the third the driver
  /// gives up.
  static let maximumTimeouts: UInt8 = 3
  /// The driver's only timer.
  static let watchdog = 0

  /// Nanoseconds between looks at the clock; at least two in a command's time.
  private var tickLength: Nanoseconds { min(1_000_000_000, timeout / 2) }
  /// A command's time in ticks; one more, since the first is cut short.
  var timeoutTicks: UInt32 { UInt32((timeout + tickLength - 1) / tickLength) + 1 }
  /// An abort is given five seconds, or a command's time if that is shorter.
  private var abortTicks: UInt32 { UInt32(min(timeout, 5_000_000_000) / tickLength) + 1 }

  /// The watchdog runs only while something is in flight: an idle driver has no timer.
  @inline(never)
  func startWatching() {
    isWatching = true
    device.setTimer(Self.watchdog, after: tickLength, every: tickLength)
  }

  /// Looks for commands that are out of time. Completions whose interrupt was lost were found by the loop before.
  public func timer(_ index: Int) throws(DriverFailure) {
    guard let controller else { return }
    tick &+= 1
    guard inFlight > 0 else {
      device.cancelTimer(Self.watchdog)
      isWatching = false
      return
    }
    let status = try controller.status()
    if status.isFatal { return try recover(controller, "the controller reports a fatal error") }
    // Power failed, or somebody else reset it. Its configuration space has to be set up anew, too.
    guard status.isReady else {
      throw DriverFailure(
        .deviceError,
        "the controller is no longer ready, with \(inFlight) commands in flight: it lost power or was reset",
        deviceStatus: status.rawValue)
    }
    if try abortOverdue(controller) { try recover(controller, "a command did not return after its abort") }
  }

  /// Aborts each command whose time is up.
  /// - Returns: whether one of them was aborted before and still did not return.
  private func abortOverdue(_ controller: Controller) throws(DriverFailure) -> Bool {
    for number in 0..<queueCount {
      let queue = queues + number
      for index in 0..<queue.pointee.commands.count where queue.pointee.commands.isActive(index) {
        let slot = queue.pointee.commands[index]
        guard Int32(bitPattern: tick &- slot.pointee.deadline) >= 0 else { continue }
        slot.pointee.timeouts += 1
        if slot.pointee.isAborting || slot.pointee.timeouts > 1 { return true }
        slot.pointee.isAborting = true
        slot.pointee.deadline = tick &+ abortTicks
        Log.warning(
          "\(slot.pointee.request.type) at sector \(slot.pointee.request.sector), unit \(slot.pointee.request.unit): "
            + "no completion within \(timeout / 1_000_000) ms, aborting it")
        _ = controller.submitUnattended(.abort(slot.pointee.commandID, on: queue.pointee.pair.id))
      }
    }
    return false
  }

  /// Whether a failed command is given to the controller again; counts it.
  func shouldRetry(_ slot: UnsafeMutablePointer<CommandSlot>, _ status: CommandStatus) -> Bool {
    guard status.isAborted || !status.doNotRetry, slot.pointee.retries < Self.maximumRetries else { return false }
    slot.pointee.retries += 1
    return true
  }

  /// Resets the controller and gives it all commands in flight anew. Heartbeats are answered meanwhile.
  /// - Throws: ``FailureCode/timeout`` when a command has run out of time too often; whatever the reset fails with.
  private func recover(_ controller: Controller, _ reason: String) throws(DriverFailure) {
    resets += 1
    Log.warning("\(reason): resetting the controller, \(inFlight) commands in flight")
    try failIfHopeless()
    try controller.disable()
    try controller.enable()
    guard try controller.negotiateQueues(queueCount) >= queueCount else {
      throw DriverFailure(.deviceError, "the controller has fewer queues after its reset")
    }
    for number in 0..<queueCount {
      let queue = queues + number
      queue.pointee.pair.reset()
      try controller.create(queue.pointee)
      for index in 0..<queue.pointee.commands.count where queue.pointee.commands.isActive(index) {
        issue(index, on: queue)
      }
      queue.pointee.pair.ring()
    }
    Log.info("controller reset done")
  }

  private func failIfHopeless() throws(DriverFailure) {
    for number in 0..<queueCount {
      let queue = queues + number
      for index in 0..<queue.pointee.commands.count where queue.pointee.commands.isActive(index) {
        let slot = queue.pointee.commands[index]
        guard slot.pointee.timeouts >= Self.maximumTimeouts else { continue }
        throw DriverFailure(
          .timeout,
          "\(slot.pointee.request.type) at sector \(slot.pointee.request.sector): no completion, also after a reset")
      }
    }
  }
}
