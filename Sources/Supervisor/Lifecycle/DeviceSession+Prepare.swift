import PCI
import Platform

/// Taking a device, and giving it back.
extension DeviceSession {
  func prepare() -> PrepareOutcome {
    takeUpPending()
    do throws(Failure) {
      if let assignment { source.update(assignment.hardware) }
      var refusals = try source.claim()
      if refusals.isEmpty { refusals = try chooseOutlet().claim() }
      guard refusals.isEmpty else {
        // An earlier supervisor may have left it taken.
        if isLeftTaken, let failure = release(isGone: false) { return .failed(failure) }
        return .refused(refusals)
      }
      try take()
      return .ready
    } catch {
      report(error)
      if let undone = release(isGone: false) { report(undone) }
      return .failed(error)
    }
  }

  private func take() throws(Failure) {
    try source.take()
    if let groups = host.groups {
      try groups.make("\(address)", limits: controller.settings.limits)
      for complaint in groups.takeComplaints() { log.warning("\(complaint)") }
    }
    // The source may have let go of one that belongs to something else.
    try chooseOutlet().open()
  }

  /// For NBD clients.
  var socketPath: String { "\(host.paths.outletSockets)/\(name).sock" }

  func release(isGone: Bool) -> Failure? {
    outlet?.remove()
    outlet = nil
    host.files.forgetAll(of: address, because: "the device is given back")
    forgetCounters()
    host.groups?.remove("\(address)")
    // The record of what could not be given back stays, for the next try.
    if let failure = source.release(isGone: isGone) { return failure }
    record = StateRecord(address: address)
    host.state.remove(address)
    takeUpPending()
    return nil
  }
}
