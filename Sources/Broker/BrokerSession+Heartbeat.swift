import Glibc
import Platform
import Protocol

/// What happens once in each heartbeat interval: an idle broker is woken by nothing else.
extension BrokerSession {
  func beginHeartbeat(_ driver: DriverSession) {
    for timer in [driver.timer, driver.watchTimer] { if let timer { loop.remove(timer) } }
    driver.watchTimer = nil
    driver.timer = loop.after(heartbeatInterval, every: heartbeatInterval) { [unowned self] in self.beat() }
  }

  private var heartbeatInterval: Nanoseconds { Nanoseconds(configuration.heartbeatInterval) * 1_000_000 }

  /// A driver has the device from its first instruction on, and until it is cut off.
  func beginWatch(_ driver: DriverSession) {
    driver.watchTimer = loop.after(heartbeatInterval, every: heartbeatInterval) { [unowned self] in
      self.watchInterrupts()
    }
  }

  func endHeartbeat(_ driver: DriverSession) {
    if let timer = driver.timer { loop.remove(timer) }
    driver.timer = nil
    if driver.watchTimer == nil { beginWatch(driver) }
    listen(to: driver, true)
  }

  /// While a driver serves and says nothing but pong, its socket is read here only: the answer to one ping is taken when
  /// the next is sent, so that a heartbeat wakes the broker once. A hang-up is noticed at once all the same.
  private func beat() {
    receiveFromDriver()
    guard let driver, !driver.isLost else { return }
    switch driver.heartbeat.beat(now: monotonicNow()) {
    case .missed:
      Log.error("driver \(driver.generation) did not answer for \(configuration.heartbeatTimeout) ms")
      return lose(.unresponsive)
    case .ping(let sequence):
      do throws(Failure) { try driver.send(.ping(sequence: sequence)) } catch {
        // Its socket is full or closed; the missing answer, or the hang-up, will tell.
        Log.debug("ping \(sequence): \(error)")
      }
    }
    listen(to: driver, driver.heardMore || proxy.hearsDriverAtOnce)
    driver.heardMore = false
    watchInterrupts()
    proxy.tick()
  }

  private func listen(to driver: DriverSession, _ listening: Bool) {
    guard let token = driver.socketToken, driver.isListening != listening else { return }
    driver.isListening = listening
    loop.setEvents(listening ? POLLIN : 0, for: token)
  }

  /// A vector that storms is switched off; what the driver makes of that is its business.
  private func watchInterrupts() {
    guard let interrupts else { return }
    for vector in storms.storms(interrupts.read(), now: monotonicNow()) {
      do throws(Failure) {
        try device.backing.setInterrupt(device.interruptKind, vector: vector, eventfd: nil)
      } catch {
        Log.error("switching off interrupt \(vector): \(error)")
      }
      violated(.interruptStorm, "more than \(configuration.interruptLimit) a second at vector \(vector), switched off")
    }
  }
}
