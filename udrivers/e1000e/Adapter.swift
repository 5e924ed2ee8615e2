import DriverKit

/// The controller itself: reset, its address, its filters, interrupts. Nothing here is on the path of a frame, except the
/// two writes that arm the interrupts.
///
/// A plain value over the registers; every wait has a deadline and notices a device that is gone.
struct Adapter {
  let bar: Bar
  /// EITR of the other causes: a millisecond, in units of 256 ns.
  private static let otherThrottle: UInt32 = 4000

  /// What the PHY's set-up takes after the load from NVM, in nanoseconds; there is no bit for its end. As long as Linux waits.
  private static let phySetUp: Nanoseconds = 25_000_000

  /// Interrupt vectors: receive, transmit and other causes. They fall together where there are fewer than three.
  let vectors: Int

  init(bar: Bar, vectors: Int) throws(DriverFailure) {
    guard bar.covers(0, 0x6000) else {
      throw DriverFailure(.resources, "the controller's registers are outside the granted range of BAR 0")
    }
    self.bar = bar
    self.vectors = vectors
  }

  var receiveVector: Int { 0 }
  var transmitVector: Int { vectors > 1 ? 1 : 0 }
  var otherVector: Int { vectors > 2 ? 2 : 0 }

  /// STATUS.
  /// - Throws: ``FailureCode/deviceGone`` when it reads as all ones.
  func status() throws(DriverFailure) -> AdapterStatus {
    let status = AdapterStatus(rawValue: bar.read(AdapterRegister.status))
    guard !status.isGone else { throw DriverFailure(.deviceGone, "the controller's status reads as all ones") }
    return status
  }

  /// Sets and clears bits of a register.
  func change(_ register: Register<UInt32>, set: UInt32 = 0, clear: UInt32 = 0) {
    bar.write(register, bar.read(register) & ~clear | set)
  }

  // MARK: Reset, datasheet 4.3 and 4.6

  /// Stops all DMA, and puts the controller into the state after power-up.
  func reset(_ device: Device) throws(DriverFailure) {
    _ = try status()
    bar.write(AdapterRegister.interruptMaskClear, Cause.all)
    bar.write(AdapterRegister.receiveControl, 0)
    bar.write(AdapterRegister.transmitControl, TransmitControl.padShort)
    // A reset in the middle of a PCIe request can hang the bus: requests end first (datasheet 3.1.3.10).
    change(AdapterRegister.control, set: Control.masterDisable)
    do throws(DriverFailure) {
      try device.wait(step: "end of PCIe requests", deadline: 100_000_000) { () throws(DriverFailure) in
        try !status().isMaster
      }
    } catch  where error.code == .timeout {
      // What the specification update says to do then is to reset all the same.
      Log.warning("\(error.detail): resetting nevertheless")
    } catch { throw error }
    try acquirePHY(device)
    change(AdapterRegister.control, set: Control.reset)
    // The registers must be left alone for a microsecond; loading them from NVM takes longer.
    try device.sleep(1_000_000)
    try device.wait(step: "reset (CTRL.RST = 0)", deadline: 1_000_000_000) { () throws(DriverFailure) in
      _ = try status()
      return bar.read(AdapterRegister.control) & Control.reset == 0
    }
    // The registers, too, are loaded from NVM, and then the PHY is set up: what is written meanwhile would be overwritten.
    try device.wait(step: "load from NVM (EECD.Auto_RD = 1)", deadline: 100_000_000) { () throws(DriverFailure) in
      _ = try status()
      return bar.read(AdapterRegister.nvmControl) & NVMControl.isLoaded != 0
    }
    try device.sleep(Self.phySetUp)
    releasePHY()
    bar.write(AdapterRegister.interruptMaskClear, Cause.all)
    _ = bar.read(AdapterRegister.interruptCause)
  }

  /// Sets up what does not depend on rings or settings. The link comes up by itself then.
  func configure(throttle: UInt32) {
    change(
      AdapterRegister.control, set: Control.setLinkUp,
      clear: Control.masterDisable | Control.forceSpeed | Control.forceDuplex | Control.vlanMode
        | Control.receiveFlowControl | Control.transmitFlowControl)
    // Pause frames are neither sent nor obeyed: the thresholds are off, too.
    bar.write(AdapterRegister.flowControlLow, 0)
    bar.write(AdapterRegister.flowControlHigh, 0)
    bar.write(AdapterRegister.multipleQueues, 0)
    applyWorkarounds()
    bar.write(AdapterRegister.interPacketGap, InterPacketGap.copper)
    // Written whole: the in-kernel driver leaves the extended format of descriptors on (EXSTEN), and not every reset
    // takes it back (QEMU 7.2's CTRL.RST does not).
    bar.write(AdapterRegister.receiveFilter, ReceiveFilter.noAcknowledgeInterrupt)
    configureInterrupts(throttle: throttle)
    clearStatistics()
  }

  /// For real controllers; see ``Workaround``. Before anything is enabled.
  private func applyWorkarounds() {
    change(AdapterRegister.pcieControl, set: Workaround.link)
    change(AdapterRegister.pcieControl2, set: Workaround.completions)
    change(
      AdapterRegister.transmitArbitration, set: Workaround.arbitration, clear: Workaround.noArbitration)
    change(AdapterRegister.control, clear: Workaround.noControl)
    change(
      AdapterRegister.extendedControl, set: Workaround.extendedControl, clear: Workaround.noExtendedControl)
  }

  // MARK: Interrupts, datasheet 7.4

  private func configureInterrupts(throttle: UInt32) {
    bar.write(
      AdapterRegister.interruptVectors,
      InterruptVectors.value(
        receive: UInt32(receiveVector), transmit: UInt32(transmitVector), other: UInt32(otherVector)))
    for vector in 0..<vectors { bar.write(AdapterRegister.throttle(vector), throttle) }
    // A controller without buffers reports each frame that it loses.
    if vectors > 2 { bar.write(AdapterRegister.throttle(otherVector), max(throttle, Self.otherThrottle)) }
    bar.write(AdapterRegister.interruptAutoMask, 0)
    // The message of a queue clears its cause and masks it: while the driver polls there are no more of them.
    bar.write(AdapterRegister.interruptAutoClear, Cause.queues)
    change(
      AdapterRegister.extendedControl,
      set: ExtendedControl.messageMasks | ExtendedControl.clearsPending | ExtendedControl.driverLoaded,
      clear: ExtendedControl.acknowledgeMasks)
  }

  func enableLinkInterrupt() { bar.write(AdapterRegister.interruptMaskSet, Cause.other | Cause.otherCauses) }

  /// What comes next of these causes of ``Cause/queues`` interrupts. What was found by polling does not.
  ///
  /// Writes are posted, and one that is under way takes the cause of a frame away that has come meanwhile: what the driver
  /// looks at next would be from before, and nobody would wake it. The answer to a read comes after both writes, and after
  /// every descriptor that was written before them (PCI Express 4.0 section 2.4.1).
  @inline(__always)
  func armQueueInterrupts(_ causes: UInt32) {
    bar.write(AdapterRegister.interruptCause, Cause.queues)
    bar.write(AdapterRegister.interruptMaskSet, causes)
    _ = bar.read(AdapterRegister.status)
  }

  /// Takes the causes that are not a queue's. The controller clears them when they are read, QEMU's does not: they are
  /// cleared by writing, too. What happens after that interrupts again.
  func takeOtherCauses() throws(DriverFailure) -> UInt32 {
    let causes = bar.read(AdapterRegister.interruptCause)
    guard causes != .max else { throw DriverFailure(.deviceGone, "the controller's causes read as all ones") }
    bar.write(AdapterRegister.interruptCause, causes & ~Cause.queues | Cause.other)
    return causes
  }

  /// No more frames and interrupts; the controller belongs to the firmware again.
  func shutDown() {
    bar.write(AdapterRegister.interruptMaskClear, Cause.all)
    bar.write(AdapterRegister.receiveControl, 0)
    bar.write(AdapterRegister.transmitControl, TransmitControl.padShort)
    change(AdapterRegister.extendedControl, clear: ExtendedControl.driverLoaded)
  }
}
