/// Takes a network driver through its conversation with the broker: hello, grant, port, link, ready, settings, start,
/// stop.
struct NetworkConversationRunner<Driver: NetworkDriver> {
  let control: ControlPort
  let options: Options

  /// - Parameter makeDevice: maps what was granted.
  /// - Returns: the status for the process to end with.
  func run(makeDevice: (DeviceGrant, ControlPort) throws(DriverFailure) -> Device) -> Int32 {
    do throws(DriverFailure) {
      try control.send(.hello(name: Driver.name, version: Driver.version))
      let grant = try control.awaitGrant()
      guard grant.deviceClass == .network else {
        throw DriverFailure(.protocolError, "\(Driver.name) was granted a device of another class")
      }
      let device = try makeDevice(grant, control)
      let driver = try Driver(device: device, options: options)
      let port = try driver.start()
      try announce(port, try driver.link(), device)
      let loop = NetworkServiceLoop(device: device, driver: driver)
      try loop.awaitStart()
      try loop.run()
      try driver.stop()
      loop.logCounters()
      try control.send(.stopped)
      return 0
    } catch { return control.giveUp(Driver.name, error) }
  }

  private func announce(_ port: NetworkPort, _ link: NetworkLink, _ device: Device) throws(DriverFailure) {
    guard !device.isStopping else { return }
    guard Int(port.queuePairs) * 2 <= device.networkQueues.count else {
      throw DriverFailure(.unsupported, "\(port.queuePairs) queue pairs, but \(device.networkQueues.count) queues")
    }
    try control.send(.networkPort(port))
    try control.send(.networkLink(link))
    try control.send(.ready)
  }
}
