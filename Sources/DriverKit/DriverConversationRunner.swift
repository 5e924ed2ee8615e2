/// Takes a driver through its conversation with the broker: hello, grant, units, ready, start, stop.
struct DriverConversationRunner<Driver: BlockDriver> {
  let control: ControlPort
  let options: Options

  /// - Parameter makeDevice: maps what was granted.
  /// - Returns: the status for the process to end with.
  func run(makeDevice: (DeviceGrant, ControlPort) throws(DriverFailure) -> Device) -> Int32 {
    do throws(DriverFailure) {
      try control.send(.hello(name: Driver.name, version: Driver.version))
      let device = try makeDevice(try awaitGrant(), control)
      let driver = try Driver(device: device, options: options)
      let units = try driver.start()
      try announce(units, device)
      let loop = ServiceLoop(device: device, driver: driver)
      try loop.awaitStart()
      try loop.run()
      try driver.stop()
      loop.flush()
      loop.logCounters()
      try control.send(.stopped)
      return 0
    } catch { return giveUp(error) }
  }

  /// The broker has no reason to be slow here, and the driver none to hurry: its own deadline ends a failed start.
  private func awaitGrant() throws(DriverFailure) -> DeviceGrant {
    let events = EventTable(control: control.socket, interrupts: [], kicks: [])
    while true {
      if let message = try control.receive() {
        guard case .grant(let grant) = message else {
          throw DriverFailure(.protocolError, "expected a grant, not \(message.kind)")
        }
        return grant
      }
      _ = events.waitForControl(-1)
    }
  }

  private func announce(_ units: [BlockUnit], _ device: Device) throws(DriverFailure) {
    guard !device.isStopping else { return }
    guard !units.isEmpty, units.count <= BlockUnit.maximumCount else {
      throw DriverFailure(.unsupported, "\(units.count) units")
    }
    for unit in units { try control.send(.blockUnit(unit)) }
    try control.send(.ready)
  }

  private func giveUp(_ failure: DriverFailure) -> Int32 {
    guard !failure.isHangUp else { return 0 }
    Log.error("\(Driver.name): \(failure)")
    // The broker may be gone as well; this process ends in any case.
    do throws(DriverFailure) {
      try control.send(
        .failed(
          code: failure.code, errno: failure.errno, deviceStatus: failure.deviceStatus, detail: failure.detail))
    } catch { Log.debug("the broker cannot be told: \(error)") }
    return 1
  }
}
