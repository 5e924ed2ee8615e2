import Control

/// What the configuration wants of a device, against what it runs with.
extension DeviceSession {
  /// It has no driver, and is taken for the sake of its IOMMU group.
  var isHeld: Bool { assignment?.entry.settings.driver == DeviceSettings.Driver.none }

  /// Takes what the configuration says now: all of it while nothing of the device is in our hands; else its policy, and
  /// the rest when the device is given back or taken next. Until then drivers and brokers that follow are like the ones
  /// before: another name, class or limit would not fit the outlet that is in use.
  func configure(_ new: Assignment) {
    isUnwanted = false
    let isKnown = (pending ?? assignment)?.amounts(to: new) ?? false
    if state.isFree || assignment?.amounts(to: new) ?? true {
      pending = new
      return takeUpPending()
    }
    pending = new
    guard !isKnown else { return }
    controller.update(controller.settings.withPolicy(of: new.entry.settings))
    log.notice("settings changed: policy from now on, the rest when the device is stopped and started")
  }

  /// Puts in force what came while the device was in use.
  func takeUpPending() {
    guard let new = pending else { return }
    pending = nil
    let isNew = !(assignment?.amounts(to: new) ?? false)
    assignment = new
    name = new.name
    if isNew, (desired == .held) != (new.driver == nil) { desired = Desired(new.entry.settings) }
    if isNew || controller.settings != new.entry.settings { controller.update(new.entry.settings) }
  }
}

extension Assignment {
  /// Whether a device would be run in the same way. Where it was said does not matter.
  func amounts(to other: Assignment) -> Bool {
    name == other.name && entry.settings == other.entry.settings && entry.emulated == other.entry.emulated
      && driver?.manifest == other.driver?.manifest && driver?.executablePath == other.driver?.executablePath
  }
}

extension DeviceSettings {
  /// These, with what needs no new driver or broker from `other`: when to start and restart, and what violations lead to.
  func withPolicy(of other: DeviceSettings) -> DeviceSettings {
    var mixed = self
    mixed.start = other.start
    mixed.restart = other.restart
    mixed.heartbeat = other.heartbeat
    mixed.violations = other.violations
    mixed.force = other.force
    return mixed
  }
}
