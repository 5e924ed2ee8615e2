import CBulkhead
import Platform
import Protocol

/// An Intel 82574L in software: one port, one queue in each direction, five MSI-X vectors.
///
/// It runs on one thread. Frames are copied out of and into the driver's memory before they are looked at; nothing is
/// allocated for one that behaves. Not there: legacy and MSI interrupts, pause frames, the second queues and RSS, taking
/// VLAN tags out of frames and putting them in, packet split, time stamps, manageability, wake-up. Of the thresholds and
/// delays of descriptors none is looked at: each is fetched and written back at once.
final class E1000EController: EmulatedController {
  /// Frames that are moved in one direction before the other one has its turn.
  static let batch = 64
  /// Bytes of the largest frame to be sent, before it is cut into segments (PAYLEN has 20 bits; Windows' and Linux' drivers
  /// stay below 64 KiB).
  static let largestTransmit = 0x20000
  /// Bytes of the largest frame on the wire without and with RCTL.LPE, check sequence included (10.2.5.1, 7.1.1).
  static let largestFrame = 1522
  static let largestLongFrame = 9234
  static let checkSequenceSize = 4

  let options: EmulationOptions
  let wire: E1000EWire
  let permanentAddress: HardwareAddress
  /// The registers below 4 KiB that have a value.
  let words: UnsafeMutablePointer<UInt32>
  var statistics = E1000EStatistics()
  var phyControl = E1000EPHY.initialControl
  var receiveRing = E1000ERing()
  var transmitRing = E1000ERing()
  /// The last context descriptor, which holds until the next one (7.2.4).
  var context = E1000EContext()
  /// The frame that is being put together for sending: its bytes, and what its first descriptor asked for.
  let outgoing = UnsafeMutableRawPointer.allocate(byteCount: largestTransmit, alignment: 64)
  var outgoingLength = 0
  var outgoingCommand: E1000ETransmitDescriptor?
  /// The rest of this frame is not sent.
  var isOutgoingRefused = false
  /// One segment, and one frame from the wire.
  let segment = UnsafeMutableRawPointer.allocate(byteCount: 0x11000, alignment: 64)
  let incoming = UnsafeMutableRawPointer.allocate(byteCount: E1000EWire.capacity, alignment: 64)
  /// Bytes of the frame from the wire that waits for descriptors.
  var waitingLength: Int?
  /// Causes whose message was sent and that were not cleared since.
  var sentCauses: UInt32 = 0
  /// By vector: when its last message was sent, and whether the next one waits for EITR.
  var lastMessages = [Nanoseconds](repeating: .min / 2, count: E1000ECause.vectorCount)
  var throttled = [Bool](repeating: false, count: E1000ECause.vectorCount)

  // Misbehaviour.
  var isResetStuck = false
  /// Directions that stand still.
  var stalled: (receive: Bool, transmit: Bool) = (false, false)
  var isFlapping = false
  var stormEnd: Nanoseconds?
  var losesInterrupt = false

  /// - Parameter wire: a file that gives and takes whole frames, or nil.
  init(
    _ options: EmulationOptions, wire: consuming Descriptor?, registers: RegisterMemory, loop: EventLoop
  ) {
    self.options = options
    self.wire = E1000EWire(wire, loop: loop)
    permanentAddress = options.hardwareAddress ?? Self.address(for: options.address)
    words = .allocate(capacity: E1000ERegister.control.count / 4)
    words.initialize(repeating: 0, count: E1000ERegister.control.count / 4)
    super.init(options, registers: registers, loop: loop)
    let hook = hook
    self.wire.onChange = { [weak self] in self?.wireChanged() }
    self.wire.onFrames = { _ = hook.poll() }
    powerOn()
  }

  deinit {
    words.deallocate()
    outgoing.deallocate()
    segment.deallocate()
    incoming.deallocate()
  }

  /// A locally administered address from the bus number of `ffff:BB:00.0`, so that the devices of one daemon differ.
  private static func address(for pci: String) -> HardwareAddress {
    let parts = pci.split(separator: ":")
    return HardwareAddress(0x02, 0x62, 0x68, 0, 0, parts.count > 1 ? UInt8(parts[1], radix: 16) ?? 0 : 0)
  }

  // MARK: State

  func word(_ offset: Int) -> UInt32 { words[offset >> 2] }
  func setWord(_ offset: Int, _ value: UInt32) { words[offset >> 2] = value }

  var receiveControl: E1000EReceiveControl { E1000EReceiveControl(rawValue: word(E1000ERegister.rctl)) }
  var transmitControl: E1000ETransmitControl { E1000ETransmitControl(rawValue: word(E1000ERegister.tctl)) }

  /// Whether requests on PCIe may be made (CTRL, GIO master disable).
  var isMaster: Bool { word(E1000ERegister.ctrl) & E1000EControl.masterDisable == 0 }

  var isLinkUp: Bool {
    wire.isUp && options.link && !isFlapping && phyControl & E1000EPHY.powerDown == 0
      && word(E1000ERegister.ctrl) & E1000EControl.setLinkUp != 0
  }

  override func powerOn() {
    isVanished = false
    phyControl = E1000EPHY.initialControl
    isFlapping = false
    stormEnd = nil
    reset()
    showRegisters()
  }

  /// What CTRL.RST does, and a reset of the function (4.3): all registers at their defaults, the address from the NVM.
  func reset() {
    epoch += 1
    words.update(repeating: 0, count: E1000ERegister.control.count / 4)
    setWord(E1000ERegister.ctrl, E1000EControl.initial)
    statistics = E1000EStatistics()
    receiveRing = E1000ERing()
    transmitRing = E1000ERing()
    context = E1000EContext()
    dropOutgoing()
    waitingLength = nil
    sentCauses = 0
    for vector in 0..<E1000ECause.vectorCount {
      (lastMessages[vector], throttled[vector]) = (.min / 2, false)
    }
    stalled = (false, false)
    // Its end does not come with another epoch.
    isFlapping = false
    wasLinkUp = false
    guard isMemoryEnabled, !isVanished else { return }
    // Not the page through which accesses are handed over: this may be one of them.
    registers.fill(0, from: 0x2000)
    loadAddress()
  }

  /// What the last look at the link saw.
  var wasLinkUp = false

  override func showRegisters() {
    guard isMemoryEnabled, !isVanished else { return registers.fill(0xFF) }
    registers.fill(0)
    registers.store(DriverFile.bellWantedOffset, bellWanted)
    registers.store(RegisterTrap.ranges, RegisterTrap.range(E1000ERegister.control))
    registers.store(RegisterTrap.ranges + 4, RegisterTrap.range(E1000ERegister.statistics))
    loadAddress()
  }

  private func loadAddress() {
    // RAL and RAH hold the octets in the order of the wire, from the lowest bits; bit 31 of RAH: valid (10.2.5.23).
    let octets = (permanentAddress.bits << 16).byteSwapped
    registers.store(E1000ERegister.ral, UInt32(truncatingIfNeeded: octets))
    registers.store(E1000ERegister.rah, UInt32(truncatingIfNeeded: octets >> 32) | 1 << 31)
  }

  override func settle() { wire.wantsFrames = false }

  // MARK: Looking

  override func service() -> Bool {
    guard !isVanished else {
      registers.fill(0xFF)
      return false
    }
    guard isMemoryEnabled else {
      wire.wantsFrames = false
      return false
    }
    var worked = takeTrapped()
    if isStorming() { worked = true }
    if transmit() { worked = true }
    if receive() { worked = true }
    if takeTrapped() { worked = true }
    return worked
  }

  /// Performs the accesses that a driver has handed over.
  private func takeTrapped() -> Bool {
    var taken = 0
    // One that never ends must not keep the broker.
    while taken < Self.batch {
      let request = registers.load(RegisterTrap.request)
      guard request & RegisterTrap.isBusy != 0 else { break }
      bh_full_fence()
      let offset = Int(request & RegisterTrap.offsetMask)
      if request & RegisterTrap.isWrite != 0 {
        write(offset, registers.load(RegisterTrap.data))
      } else {
        registers.store(RegisterTrap.data, read(offset))
      }
      // Reset or gone by this very access: then the words are new already.
      guard !isVanished else { return true }
      bh_full_fence()
      registers.store(RegisterTrap.request, 0)
      taken += 1
    }
    return taken > 0
  }

  /// All registers read as ones from now on.
  func vanish(for duration: Nanoseconds?) {
    reset()
    isVanished = true
    wire.wantsFrames = false
    registers.fill(0xFF)
    guard let duration else { return }
    later(duration) { controller in
      controller.powerOn()
      controller.onPowerCycle()
    }
  }

  /// The wire went up or down, or seems to have.
  func wireChanged() {
    if isMemoryEnabled, !isVanished { updateLink() }
  }

  /// Raises LSC if the link is not what it was.
  func updateLink() {
    let isUp = isLinkUp
    guard isUp != wasLinkUp else { return }
    wasLinkUp = isUp
    raise(E1000ECause.linkChange)
  }
}
