import Glibc
import Platform
import Protocol
import VFIO

/// What a driver says, and the answers. Nothing here is trusted: each message must be one, must belong to this driver,
/// and must be permitted by ``DriverConversation`` at this point.
extension BrokerSession {
  /// The most messages that are taken in one turn, so that a talkative driver does not stop the outlet.
  static var messagesPerTurn: Int { 64 }

  func receiveFromDriver() {
    guard let driver else { return }
    var budget = Self.messagesPerTurn
    while !driver.isLost, self.driver === driver, budget > 0 {
      budget -= 1
      do throws(Failure) {
        switch try driver.channel.receive() {
        case .empty: return
        case .closed: return hungUp(driver)
        case .malformed(let error): return distrustDriver(.malformedMessage, "\(error)")
        case .message(let envelope, let files):
          guard files.isEmpty else {
            files.forEach(Descriptor.close)
            return distrustDriver(.malformedMessage, "a message with \(files.count) files")
          }
          guard envelope.generation == driver.generation || (envelope.generation == 0 && driver.knowsNoGeneration)
          else {
            return distrustDriver(.malformedMessage, "a message of generation \(envelope.generation)")
          }
          guard driver.rate.admit(now: monotonicNow()) else {
            return distrustDriver(.messageFlood, "more than \(MessageRate.limit) messages within a second")
          }
          try handle(envelope.message, from: driver)
        }
      } catch {
        // A refusal of the socket: EMSGSIZE for what is no message, EAGAIN where the driver does not read its answers. Or
        // the device does not answer when it is to be described to the driver, which the supervisor then finds gone.
        if error.errno == EMSGSIZE { return distrustDriver(.malformedMessage, "an oversize message") }
        Log.warning("conversation with driver \(driver.generation): \(error)")
        return lose(.hungUp)
      }
    }
  }

  private func hungUp(_ driver: DriverSession) {
    guard driver.monitor.state == .stopped else { return lose(.hungUp) }
    // It has done what was asked of it.
    if let token = driver.socketToken { loop.remove(token) }
    driver.socketToken = nil
  }

  private func handle(_ message: DriverMessage, from driver: DriverSession) throws(Failure) {
    let state = driver.monitor.state
    guard driver.monitor.advance(.driver(message.kind)) else {
      return distrustDriver(.illegalTransition, "\(message.kind) while \(state)")
    }
    if message.kind != .pong { driver.heardMore = true }
    let stopping = driver.monitor.state == .stopping
    switch message {
    case .hello(let name, let version):
      Log.info("driver \(driver.generation) is \(name) \(version)")
      link.send(.driverHello(name: name, version: version), generation: driver.generation)
      try driver.send(.grant(try device.grant()))
    case .configRead(let offset, let width): try readConfig(driver, Int(offset), width)
    case .configWrite(let offset, let width, let value): try writeConfig(driver, Int(offset), width, value)
    case .blockUnit, .networkPort, .networkLink, .networkApplied, .networkStatistics:
      if !stopping { refusing { () throws(ProxyRefusal) in try proxy.driverSays(message) } }
    case .ready: if !stopping { try serve(driver) }
    case .pong(let sequence):
      if !driver.heartbeat.answered(sequence, now: monotonicNow()) {
        distrustDriver(.illegalTransition, "pong \(sequence) answers nothing")
      }
    case .stopped:
      // What completed before the driver's last word counts.
      _ = proxy.poll()
      proxy.driverGone()
      link.send(.driverStopped, generation: driver.generation)
    case .failed(let code, let errno, let deviceStatus, let detail):
      Log.error("driver \(driver.generation) gives up: \(code): \(detail)")
      link.send(
        .driverFailed(code: code, errno: errno, deviceStatus: deviceStatus, detail: detail),
        generation: driver.generation)
      lose(.failed)
    }
  }

  /// True if the proxy accepted; otherwise the driver is lost.
  @discardableResult
  private func refusing(_ step: () throws(ProxyRefusal) -> Void) -> Bool {
    do throws(ProxyRefusal) { try step() } catch {
      distrustDriver(error.violation, error.detail)
      return false
    }
    return true
  }

  private func serve(_ driver: DriverSession) throws(Failure) {
    guard refusing({ () throws(ProxyRefusal) in try proxy.driverReady() }), !driver.isLost else { return }
    try driver.send(.start)
    beginHeartbeat(driver)
    // That the outlet fails is not the driver's fault, and its next driver would not fare better; a new broker may.
    do throws(Failure) { try proxy.driverServes(driver.world.queues) } catch { return fail(error) }
    Log.info("driver \(driver.generation) serves")
    link.send(.driverReady, generation: driver.generation)
  }

  /// Asks the driver to shut its device down. One that has not even introduced itself has nothing to shut down.
  func stopDriver() {
    guard let driver, !driver.isLost else { return }
    switch driver.monitor.state {
    case .stopping, .stoppingAccess, .stopped, .failed: return
    case .launched, .greeted: return lose(.startTimeout)
    case .configuring, .configuringAccess, .ready, .serving, .servingAccess: break
    }
    proxy.driverStopping()
    endHeartbeat(driver)
    do throws(Failure) { try driver.send(.stop) } catch {
      Log.warning("driver \(driver.generation) cannot be asked to stop: \(error)")
      lose(.hungUp)
    }
  }

  // MARK: Configuration space

  private func readConfig(_ driver: DriverSession, _ offset: Int, _ width: UInt8) throws(Failure) {
    guard let width = ConfigWidth(rawValue: Int(width)), device.filter.permitsRead(offset: offset, width: width) else {
      return try deny(driver, "read of \(width) bytes at 0x\(String(offset, radix: 16))")
    }
    do throws(Failure) {
      let value = try device.backing.readConfig(offset: offset, width: width)
      try driver.send(.configValue(value: value, errno: 0))
    } catch {
      if error.code == "control-send" { throw error }
      try driver.send(.configValue(value: .max, errno: UInt16(EIO)))
    }
  }

  private func writeConfig(
    _ driver: DriverSession, _ offset: Int, _ width: UInt8, _ value: UInt32
  ) throws(Failure) {
    guard let width = ConfigWidth(rawValue: Int(width)),
      device.filter.permitsWrite(offset: offset, width: width, value: value)
    else {
      return try deny(
        driver, "write of 0x\(String(value, radix: 16)), \(width) bytes at 0x\(String(offset, radix: 16))")
    }
    do throws(Failure) {
      try device.backing.writeConfig(offset: offset, width: width, value: value)
      try driver.send(.configValue(value: value, errno: 0))
    } catch {
      if error.code == "control-send" { throw error }
      try driver.send(.configValue(value: .max, errno: UInt16(EIO)))
    }
  }

  private func deny(_ driver: DriverSession, _ access: String) throws(Failure) {
    violated(.configDenied, access)
    try driver.send(.configValue(value: .max, errno: UInt16(EPERM)))
  }
}
