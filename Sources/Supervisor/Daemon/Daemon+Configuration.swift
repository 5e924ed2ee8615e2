import Control
import PCI
import Platform

/// The calls that tell of the configuration, and the one that forgets failures.
extension Daemon {
  func drivers(_ call: ServiceCall) {
    let sessions = orderedSessions
    var drivers = loader.driverListing { name in
      sessions.filter { $0.assignment?.driver?.manifest.name == name }.map { "\($0.address)" }
    }
    // A manifest need not tell the version; a driver that runs has told it.
    for index in drivers.indices where drivers[index].version == nil {
      drivers[index].version =
        sessions.first { $0.assignment?.driver?.manifest.name == drivers[index].name && $0.driverVersion != nil }?
        .driverVersion
    }
    call.reply(Service.DriversReply(drivers: drivers))
  }

  func showConfiguration(_ device: String?, _ call: ServiceCall) {
    let devices = configuration.needsHardware ? (try? host.bus.devices()) ?? [] : []
    let listing = configuration.listing(of: devices)
    guard let device else { return call.reply(Service.ConfigurationReply(devices: listing)) }
    let chosen = listing.filter { $0.isMeant(by: device) }
    guard chosen.isEmpty else { return call.reply(Service.ConfigurationReply(devices: chosen)) }
    switch find(device) {
    case .failure(let error): call.fail(error)
    case .success(let session): call.fail(notConfigured("\(session.address)", nil))
    }
  }

  func checkConfiguration(_ call: ServiceCall) {
    let check = ConfigurationCheck(loader)
    call.reply(Service.IssuesReply(issues: check.issues))
  }

  func resetFailed(_ device: String?, _ call: ServiceCall) {
    var chosen = orderedSessions
    if let device {
      switch find(device) {
      case .failure(let error): return call.fail(error)
      case .success(let session): chosen = [session]
      }
    }
    var complaint: ServiceError?
    for session in chosen {
      do throws(ServiceError) { try reset(session) } catch { complaint = complaint ?? error }
    }
    var left = chosen.count
    let answer = { [complaint] in
      if let complaint { return call.fail(complaint) }
      if let device, let session = chosen.first, session.state == .failed || session.state == .quarantined {
        return call.fail(
          ServiceError(
            .failed, device: device, message: "\(session.address) (\(session.name)) is \(session.state.label) again",
            hint: session.controller.reason))
      }
      call.reply(Service.DevicesReply(devices: chosen.map(Device.init)))
    }
    guard left > 0 else { return answer() }
    for session in chosen {
      session.whenSettled { _ in
        left -= 1
        if left == 0 { answer() }
      }
    }
  }

  /// What has failed becomes idle; only what waits in quarantine, with its outlet open, goes on.
  private func reset(_ session: DeviceSession) throws(ServiceError) {
    let uses = session.state == .failed ? session.outlet?.uses() ?? [] : []
    guard uses.isEmpty else {
      throw ServiceError(
        .inUse, device: "\(session.address)", message: uses.joined(separator: "; "),
        hint: "unmount it first, or bulkheadctl restart \(session.name)")
    }
    session.controller.forget()
    session.countedSince = WallClock.seconds()
    session.lastFault = nil
    switch session.state {
    case .failed, .refused: session.controller.stop()
    case .quarantined: session.controller.restart()
    default: break
    }
    session.log.notice("restarts, violations and failures are forgotten")
  }
}
