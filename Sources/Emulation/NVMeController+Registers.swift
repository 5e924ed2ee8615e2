import CBulkhead
import Platform

/// Enabling, resetting, shutting down (NVMe 1.4 sections 3.1.5, 3.1.6, 7.3, 7.6).
extension NVMeController {
  /// As after power-on: every register at its default.
  func returnToDefaults() {
    isVanished = false
    registers.fill(0)
    wantBell(BellWanted.all)
    configuration = ControllerConfiguration(rawValue: 0)
    resetController()
    showRegisters()
  }

  /// Puts into BAR 0 what is to be read there: ones while the device does not answer.
  func publish() {
    guard isMemoryEnabled, !isVanished else { return registers.fill(0xFF) }
    registers.fill(0)
    registers.store(RegisterOffset.bellWanted, bellWanted)
    registers.store64(RegisterOffset.cap, ControllerCapabilities.value(queueEntries: options.queueEntries))
    registers.store(RegisterOffset.vs, ControllerCapabilities.version)
    registers.store(RegisterOffset.cc, configuration.rawValue)
    registers.store(RegisterOffset.csts, status)
    for queue in 0...queueCount {
      registers.store(RegisterMemory.submissionDoorbell(queue), submissions[queue].head)
      registers.store(RegisterMemory.completionDoorbell(queue), completions[queue].head)
    }
  }

  /// What CC.EN = 0 does (section 7.3.2): all queues go, ASQ, ACQ and AQA stay.
  func resetController() {
    epoch += 1
    isRunning = false
    isRefusing = false
    isStalled = false
    heldCount = 0
    for queue in 0...queueCount {
      submissions[queue] = SubmissionQueue()
      completions[queue] = CompletionQueue()
      clearDoorbells(queue)
    }
    features = Features()
    eventRequests.removeAll(keepingCapacity: true)
    pendingEvents.removeAll(keepingCapacity: true)
    maskedEvents = 0
    setStatus(0)
  }

  func setStatus(_ value: UInt32) {
    status = value
    registers.store(RegisterOffset.csts, value)
  }

  func clearDoorbells(_ queue: Int) {
    registers.store(RegisterMemory.submissionDoorbell(queue), 0)
    registers.store(RegisterMemory.completionDoorbell(queue), 0)
  }

  /// The driver wrote CC.
  func configure(_ wanted: ControllerConfiguration) {
    let before = configuration
    configuration = wanted
    if before.isEnabled, !wanted.isEnabled {
      resetController()
    } else if !before.isEnabled, wanted.isEnabled {
      enable()
    }
    if wanted.shutdown != 0, wanted.shutdown != before.shutdown { shutDown(isNormal: wanted.shutdown == 1) }
  }

  /// Whether CC.EN went to 0 and back to 1 between two looks.
  ///
  /// A driver waits for CSTS.RDY = 0 in between, so this cannot be missed, but where RDY is 0 already: after an enabling
  /// that was refused. AQA was set to 0 then; where it no longer is, a driver has been there since, and if CC.EN is 1
  /// *after* that, everything a driver writes before it has been written.
  func missedReset() -> Bool {
    guard isRefusing, registers.load(RegisterOffset.aqa) != 0 else { return false }
    bh_full_fence()
    return registers.load(RegisterOffset.cc) == configuration.rawValue
  }

  /// Section 7.6.1. What cannot work leaves CSTS.RDY at 0, with CSTS.CFS (section 9.5).
  func enable() {
    isRefusing = true
    defer { if isRefusing { registers.store(RegisterOffset.aqa, 0) } }
    if fires({ $0 == .neverReady }) { return }
    let queueSizes = registers.load(RegisterOffset.aqa)
    let submissionEntries = (queueSizes & 0xFFF) + 1
    let completionEntries = (queueSizes >> 16 & 0xFFF) + 1
    let submission = registers.load64(RegisterOffset.asq)
    let completion = registers.load64(RegisterOffset.acq)
    guard submissionEntries >= 2, completionEntries >= 2, (submission | completion) & 0xFFF == 0,
      configuration.pageShift == 0, configuration.commandSet == 0, configuration.arbitration == 0
    else {
      setStatus(ControllerStatus.fatal)
      return
    }
    submissions[0] = SubmissionQueue(exists: true, address: submission, entries: submissionEntries)
    completions[0] = CompletionQueue(exists: true, address: completion, entries: completionEntries)
    completions[0].interruptsEnabled = true
    completions[0].users = 1
    clearDoorbells(0)
    isRefusing = false
    isRunning = true
    setStatus(ControllerStatus.ready)
  }

  /// Section 7.6.2. An abrupt shutdown leaves the write cache as it is.
  private func shutDown(isNormal: Bool) {
    if isNormal { for index in 0..<namespaceCount { _ = namespaces[index].flush() } }
    isRunning = false
    setStatus(status | ControllerStatus.shutdownComplete)
  }

  /// CSTS.CFS: the controller cannot speak through its queues any more (section 9.5).
  func fail() {
    isRunning = false
    setStatus(status | ControllerStatus.fatal)
  }

  /// Power fails and comes back: the write cache is lost, and all state.
  @discardableResult
  func losePower(_ loss: PowerLoss) -> PowerLossReport {
    var report = PowerLossReport()
    for index in 0..<namespaceCount {
      var fate = loss
      if case .some(let seed) = loss { fate = .some(seed: seed &+ UInt64(index)) }
      let part = namespaces[index].losePower(fate)
      report.lost += part.lost
      report.kept += part.kept
    }
    powerOn()
    onPowerCycle()
    return report
  }

  /// All registers read as ones from now on.
  func vanish(for duration: Nanoseconds?) {
    epoch += 1
    isRunning = false
    isVanished = true
    heldCount = 0
    registers.fill(0xFF)
    if let duration {
      after(duration) { controller in
        controller.powerOn()
        controller.onPowerCycle()
      }
    }
  }
}
