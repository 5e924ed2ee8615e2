// The beginning and the end of every driver's conversation, whatever its class.

extension ControlPort {
  /// The broker has no reason to be slow here, and the driver none to hurry: its own deadline ends a failed start.
  func awaitGrant() throws(DriverFailure) -> DeviceGrant {
    let events = EventTable(control: socket, interrupts: [], kicks: [])
    defer { events.deallocate() }
    while true {
      if let message = try receive() {
        guard case .grant(let grant) = message else {
          throw DriverFailure(.protocolError, "expected a grant, not \(message.kind)")
        }
        return grant
      }
      _ = events.waitForControl(-1)
    }
  }

  /// Says why `driver` cannot go on.
  /// - Returns: the status for the process to end with.
  func giveUp(_ driver: String, _ failure: DriverFailure) -> Int32 {
    guard !failure.isHangUp else { return 0 }
    Log.error("\(driver): \(failure)")
    // The broker may be gone as well; this process ends in any case.
    do throws(DriverFailure) {
      try send(
        .failed(
          code: failure.code, errno: failure.errno, deviceStatus: failure.deviceStatus, detail: failure.detail))
    } catch { Log.debug("the broker cannot be told: \(error)") }
    return 1
  }
}
