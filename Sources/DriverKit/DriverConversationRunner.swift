/// Takes a driver through its conversation with the broker: hello, grant, units, ready, start, stop.
struct DriverConversationRunner<Driver: BlockDriver> {
  let control: ControlPort
  let options: Options

  /// - Parameter makeDevice: maps what was granted.
  /// - Returns: the status for the process to end with.
  func run(makeDevice: (DeviceGrant, ControlPort) throws(DriverFailure) -> Device) -> Int32 {
    do throws(DriverFailure) {
      try control.send(.hello(name: Driver.name, version: Driver.version))
      let device = try makeDevice(try control.awaitGrant(), control)
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
    } catch { return control.giveUp(Driver.name, error) }
  }

  private func announce(_ units: [BlockUnit], _ device: Device) throws(DriverFailure) {
    guard !device.isStopping else { return }
    guard !units.isEmpty, units.count <= BlockUnit.maximumCount else {
      throw DriverFailure(.unsupported, "\(units.count) units")
    }
    for unit in units { try control.send(.blockUnit(unit)) }
    try control.send(.ready)
  }
}
