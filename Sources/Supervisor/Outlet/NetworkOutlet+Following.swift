import Netlink
import Platform
import Protocol

/// What happens to the interface reaches the driver, and what the driver says reaches the interface.
extension NetworkOutlet {
  // MARK: The interface

  /// - Throws: as ``LinkMonitor``.
  func follow() throws(Failure) {
    guard let interface else { return }
    monitor = try LinkMonitor(
      loop: session.host.loop, index: interface.index, namespace: interface.namespace
    ) { [weak self] in self?.take($0) }
  }

  func stopFollowing() {
    monitor?.stop()
    monitor = nil
  }

  private func take(_ event: LinkEvent) {
    switch event {
    case .changed(let aspects): changed(aspects)
    case .removed: departed()
    case .failed(let failure):
      session.report(failure)
      monitor = nil
      session.host.loop.after(1_000_000_000) { [weak self] in self?.followAgain() }
    }
  }

  private func followAgain() {
    guard interface != nil, monitor == nil else { return }
    do throws(Failure) {
      try follow()
      changed([])
    } catch {
      session.report(error)
      departed()
    }
  }

  /// Looks at the interface now, beside what the kernel tells.
  func look() {
    guard let monitor, let aspects = try? monitor.look(), !aspects.isEmpty else { return }
    changed(aspects)
  }

  private func changed(_ aspects: LinkAspects) {
    guard let link = monitor?.link else { return }
    if !aspects.isDisjoint(with: [.name, .alias]), var record = session.record.interface {
      if record.name != link.name { say("\(record.name) is called \(link.name) now") }
      record.name = link.name
      record.alias = link.alias
      session.record.interface = record
      saveRecord()
    }
    if aspects.contains(.up) { say("\(link.name) is \(link.isUp ? "up" : "down")") }
    limitMTU()
    sendSettings()
  }

  private func saveRecord() {
    do throws(Failure) { try session.host.state.save(session.record) } catch { session.report(error) }
  }

  func say(_ text: String) { session.tell("interface", .info, text) }

  /// Deleted, or moved to another namespace. The broker cannot be given other files, so a deleted interface is the end of
  /// it; the next one gets a new interface.
  private func departed() {
    guard let interface else { return }
    monitor = nil
    do throws(Failure) {
      try interface.follow()
      try follow()
      sayWhereItIs(interface)
      recordReturn(interface)
      return changed([])
    } catch {
      session.log.debug("not moved: \(error)")
    }
    let name = session.record.interface?.name ?? interface.tap.name
    let failure = Failure(
      "interface-removed", "serve \(name): somebody has deleted it",
      hint: "it is made anew, without what was configured on it; bulkheadctl stop \(session.name) gives the device back"
    )
    session.report(failure)
    session.controller.note(failure)
    interface.tap.close()
    self.interface = nil
    forgetFiles(because: "the interface is gone")
    session.record.interface = nil
    try? session.host.state.save(session.record)
    session.endBroker(because: "the interface \(name) was deleted")
  }

  /// It is back, perhaps with another number and name: the next supervisor looks for it by them.
  private func recordReturn(_ interface: NetworkInterface) {
    guard !interface.isMoved, let link = monitor?.link, var record = session.record.interface else { return }
    (record.index, record.name, record.alias) = (interface.index, link.name, link.alias)
    session.record.interface = record
    saveRecord()
  }

  // MARK: Settings

  /// A TAP takes up to 65521 bytes, whatever its NIC can do. What was wanted is remembered: another driver may say that the
  /// NIC can do more than the one before has said.
  private func limitMTU() {
    guard let link = monitor?.link else { return }
    let limit = UInt32(port?.maximumMTU ?? UInt16(NetworkClass.maximumMTU))
    var limited = session.record.interface?.limitedMTU
    // Somebody has chosen another one since.
    if limited?.given != link.mtu { limited = nil }
    if link.mtu > limit {
      let text = "the NIC takes an MTU of \(limit) at most: that of \(link.name) is set back from \(link.mtu)"
      session.tell("interface", .error, text)
      limited = setMTU(limit, wanted: limited?.wanted ?? link.mtu)
    } else if let wanted = limited?.wanted, port != nil, link.mtu < min(wanted, limit) {
      say("\(link.name) has its MTU of \(min(wanted, limit)) back: the NIC takes it")
      limited = setMTU(min(wanted, limit), wanted: wanted)
    }
    guard session.record.interface?.limitedMTU != limited else { return }
    session.record.interface?.limitedMTU = limited
    saveRecord()
  }

  /// - Returns: what is to be remembered; nil where there is nothing more to be wished for, or the kernel has refused.
  private func setMTU(_ mtu: UInt32, wanted: UInt32) -> StateRecord.LimitedMTU? {
    guard let interface else { return nil }
    do throws(Failure) {
      try interface.control.change(index: interface.index, LinkChange(mtu: mtu))
      _ = try monitor?.look()
    } catch {
      session.report(error)
      return nil
    }
    return mtu < wanted ? StateRecord.LimitedMTU(wanted: wanted, given: mtu) : nil
  }

  /// Tells the broker how the port is to be, unless it knows. Before the address is certain, there is nothing to say.
  func sendSettings() {
    guard isBrokerReady, settings.address != nil || session.record.hardwareAddress != nil, let monitor,
      var wanted = NetworkSettings(monitor.link, multicast: monitor.multicast, limit: port?.maximumMTU)
    else { return }
    wanted.sequence = sent.last?.sequence ?? 0
    guard wanted != sent.last else { return }
    settingsCount &+= 1
    wanted.sequence = settingsCount
    do throws(Failure) {
      try session.broker?.send(.networkSettings(wanted))
      if sent.count == Self.sentLimit { sent.removeFirst() }
      sent.append(wanted)
    } catch { session.log.warning("the broker was not told of the interface's settings: \(error)") }
  }

  /// Settings that are remembered until a driver has answered them, or later ones.
  private static var sentLimit: Int { 32 }

  /// A driver was brought to settings, or could not be. These may not be the last ones: several can be under way.
  private func answered(_ sequence: UInt32, _ errno: UInt16) {
    settingsError = errno
    guard errno == 0 else {
      return session.report(
        Failure(
          "port-settings", "bring the NIC to the settings of \(monitor?.link.name ?? "its interface")",
          errno: Int32(errno), hint: "the driver refused; the interface says what was asked, not what is"))
    }
    guard let settings = sent.first(where: { $0.sequence == sequence }) else { return }
    applied = settings
    // The next driver is brought to the last ones again.
    sent.removeAll { $0.sequence < sequence }
  }

  /// The first driver to come says which address the NIC has, where no driver of the kernel's has said so before. It is
  /// the interface's, unless the configuration has another one. What later drivers say is shown as the port's, and that
  /// is all.
  ///
  /// A new interface gets its address here once more: udev may have given it one of its own meanwhile
  /// (MACAddressPolicy=persistent in systemd.link(5)). What the administrator sets later stays.
  private func takeAddress(_ found: HardwareAddress) {
    let recorded = session.record.hardwareAddress.flatMap { HardwareAddress($0) }
    let isFirst = isNew || recorded == nil
    isNew = false
    let address = recorded ?? formerAddress ?? found
    if recorded == nil {
      session.record.hardwareAddress = "\(address)"
      saveRecord()
    }
    let wanted = settings.address ?? address
    guard isFirst, let interface, let link = monitor?.link, link.address != wanted else { return }
    do throws(Failure) {
      try interface.control.change(index: interface.index, LinkChange(address: wanted))
      _ = try monitor?.look()
    } catch { session.report(error) }
  }

  // MARK: The driver

  func take(_ event: BrokerEvent, _ files: [Int32]) {
    switch event {
    case .networkPort(let port):
      self.port = port
      look()
      balance = FrameBalance(received: receivedAtRest)
      isBalanceDue = true
      isAtRest = false
      takeAddress(port.address)
      limitMTU()
      sendSettings()
    case .networkLink(let link):
      guard link != self.link else { return }
      self.link = link
      let text = link.isUp ? "link up, \(link.words)" : "link down"
      session.tell("link", .notice, text)
    case .networkApplied(let sequence, let errno): answered(sequence, errno)
    case .networkStatistics(let statistics):
      self.statistics = statistics
      awaitsReport = false
    case .counters(let counters): weigh(counters)
    default: break
    }
  }

  /// Frames that vhost-net took from the driver and that never came out of the interface.
  ///
  /// The last look at a driver is the report that ``quiesced()`` asked for; reports after it are of the next one, whose
  /// balance begins with its port.
  private func weigh(_ counters: BrokerCounters) {
    guard isBalanceDue, datapath == .vhost, let interface,
      let link = try? interface.control.link(index: interface.index),
      // It may drop what it likes, and not all of that is counted.
      !link.hasProgram
    else { return }
    if port == nil, isAtRest { isBalanceDue = false }
    let refused = balance.weigh(
      taken: UInt16(truncatingIfNeeded: counters.framesTaken), received: link.receivedOrDropped)
    guard refused > 0 else { return }
    session.violated(
      .frameInvalid, count: refused, "the kernel refused \(refused) frames: header and frame contradict each other",
      isInferred: true)
  }
}

extension NetworkSettings {
  /// How a port is to be that serves this interface; nil where it has no Ethernet address.
  /// - Parameter limit: the largest MTU of the port; nil: not known yet.
  init?(_ link: Link, multicast: [HardwareAddress], limit: UInt16? = nil) {
    guard let address = link.address, address.isUsable else { return nil }
    let groups = multicast.filter(\.isMulticast)
    let hasTooMany = groups.count > NetworkSettings.multicastLimit
    let limits = NetworkClass.minimumMTU...Int(limit ?? UInt16(NetworkClass.maximumMTU))
    self.init(
      sequence: 0, isEnabled: link.isUp, address: address,
      mtu: UInt16(min(max(Int(link.mtu), limits.lowerBound), limits.upperBound)),
      isPromiscuous: link.isPromiscuous, receivesAllMulticast: hasTooMany || link.allMulticast > 0,
      multicast: hasTooMany ? [] : groups)
  }
}

extension NetworkLink {
  /// `1000 Mbit/s, full duplex`
  var words: String {
    (speed == 0 ? "speed unknown" : "\(speed) Mbit/s") + (isFullDuplex ? ", full duplex" : ", half duplex")
  }
}
