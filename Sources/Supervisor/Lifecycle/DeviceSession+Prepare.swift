import CBulkhead
import PCI
import Platform

/// Taking a device, and giving it back.
extension DeviceSession {
  func prepare() -> PrepareOutcome {
    do throws(Failure) {
      if let assignment { source.update(assignment.hardware) }
      let refusals = try source.claim()
      guard refusals.isEmpty else {
        // An earlier supervisor may have left it taken.
        if source.isLeftTaken, let failure = release(isGone: false) { return .failed(failure) }
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
    let settings = controller.settings
    if settings.outlet.kernelOutlet == .required { try KernelBlockOutlet.require() }
    if settings.outlet.kernelOutlet == .ifPresent { _ = KernelModule.load("nbd") }
    try source.take()
    if let groups = host.groups {
      try groups.make("\(address)", limits: settings.limits)
      for complaint in groups.takeComplaints() { log.warning("\(complaint)") }
    }
    if settings.outlet.socket { try listen() }
    if outlet == nil { outlet = makeOutlet() }
  }

  var socketPath: String { "\(host.paths.outletSockets)/\(name).sock" }

  private func listen() throws(Failure) {
    guard listener == nil else { return }
    let error = FileText.makeDirectories(host.paths.outletSockets)
    guard error == 0 else { throw Failure("outlet-socket", "make \(host.paths.outletSockets)", errno: error) }
    listener = try checked(
      bh_unix_listen(socketPath, host.socketMode, host.socketGroup), "outlet-socket", "listen on \(socketPath)",
      // sizeof sun_path, less the zero (unix(7)).
      hint: socketPath.utf8.count > 107 ? "a socket's path has at most 107 bytes: --runtime-dir chooses another" : "")
    announcedUnits = []
  }

  func release(isGone: Bool) -> Failure? {
    closeOutlet()
    outlet = nil
    units = []
    counters = nil
    if let file = listener {
      Descriptor.close(file)
      listener = nil
      FileText.remove(socketPath)
    }
    host.groups?.remove("\(address)")
    // The record of what could not be given back stays, for the next try.
    if let failure = source.release(isGone: isGone) { return failure }
    record = StateRecord(address: address)
    host.state.remove(address)
    return nil
  }
}
