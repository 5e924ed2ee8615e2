import PCI
import Platform

/// Taking a device, and giving it back.
extension DeviceSession {
  func prepare(_ done: @escaping (PrepareOutcome) -> Void) {
    takeUpPending()
    do throws(Failure) {
      if let assignment { source.update(assignment.hardware) }
      var refusals = try source.claim()
      if refusals.isEmpty { refusals = try chooseOutlet().claim() }
      guard refusals.isEmpty else {
        // An earlier supervisor may have left it taken.
        guard isLeftTaken else { return done(.refused(refusals)) }
        return release(isGone: false) { failure in done(failure.map(PrepareOutcome.failed) ?? .refused(refusals)) }
      }
    } catch { return withdraw(error, done) }
    source.take { [weak self] failure in
      guard let self else { return }
      do throws(Failure) {
        if let failure { throw failure }
        try self.open()
      } catch { return self.withdraw(error, done) }
      done(.ready)
    }
  }

  private func open() throws(Failure) {
    if let groups = host.groups {
      try groups.make("\(address)", limits: controller.settings.limits)
      for complaint in groups.takeComplaints() { log.warning("\(complaint)") }
    }
    // The source may have let go of one that belongs to something else.
    try chooseOutlet().open()
  }

  /// Undoes what was done before the failure.
  private func withdraw(_ failure: Failure, _ done: @escaping (PrepareOutcome) -> Void) {
    report(failure)
    release(isGone: false) { [weak self] undone in
      if let undone { self?.report(undone) }
      done(.failed(failure))
    }
  }

  /// For NBD clients.
  var socketPath: String { "\(host.paths.outletSockets)/\(name).sock" }

  func release(isGone: Bool, _ done: @escaping (Failure?) -> Void) {
    outlet?.remove()
    outlet = nil
    host.files.forgetAll(of: address, because: "the device is given back")
    forgetCounters()
    host.groups?.remove("\(address)")
    source.release(isGone: isGone) { [weak self] failure in
      guard let self else { return }
      // The record of what could not be given back stays, for the next try.
      if failure == nil {
        self.record = StateRecord(address: self.address)
        self.host.state.remove(self.address)
        self.takeUpPending()
      }
      done(failure)
    }
  }
}
