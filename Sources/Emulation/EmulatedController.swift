import CBulkhead
import Platform
import Protocol

/// What every emulated device has: registers that a driver maps, DMA through the software IOMMU, MSI-X vectors, a bell,
/// and rules by which it misbehaves.
///
/// It runs on one thread. What a device is, its subclass says.
class EmulatedController {
  let loop: EventLoop
  let registers: RegisterMemory
  let iommu = SoftwareIOMMU()
  /// The eventfd of each vector, -1 for none.
  let vectors: UnsafeMutablePointer<Int32>
  let vectorCount: Int
  /// How often each vector was signalled.
  let signals: UnsafeMutablePointer<UInt64>
  var interruptCount: UInt64 = 0
  /// All registers and configuration space read as ones.
  var isVanished = false
  /// PCI command register bit 1: off, and BAR 0 answers nothing but ones, whatever is written there.
  var isMemoryEnabled = false { didSet { if isMemoryEnabled != oldValue { showRegisters() } } }
  /// Counts resets, so that what was planned before one does not happen after it.
  var epoch: UInt64 = 0
  var armed: [ArmedMisbehaviour]
  var generator: SeededGenerator
  /// What the backing does when power fails: configuration space forgets, too.
  var onPowerCycle: () -> Void = {}
  /// What the loop's closures call; emptied when the controller goes.
  let hook = Hook()
  /// The vendor's register `DriverFile.bellWantedOffset`, as it is to be read.
  private(set) var bellWanted = UInt32.max
  private let spin: Nanoseconds
  /// When work was last found, for spinning.
  private var lastWork: Nanoseconds = 0

  init(_ options: EmulationOptions, registers: RegisterMemory, loop: EventLoop) {
    self.loop = loop
    self.registers = registers
    spin = options.spin
    vectorCount = options.vectors
    vectors = .allocate(capacity: vectorCount)
    vectors.initialize(repeating: -1, count: vectorCount)
    signals = .allocate(capacity: vectorCount)
    signals.initialize(repeating: 0, count: vectorCount)
    armed = options.misbehaviours.map(ArmedMisbehaviour.init)
    generator = SeededGenerator(seed: options.seed)
    hook.controller = Unmanaged.passUnretained(self)
  }

  deinit {
    hook.controller = nil
    vectors.deallocate()
    signals.deallocate()
  }

  // MARK: What a device is

  /// Looks at what a driver can write, and does what there is to do; returns whether there was anything.
  func service() -> Bool { false }

  /// As after power-on: every register at its default.
  func powerOn() {}

  /// Puts into BAR 0 what is to be read there: ones while the device does not answer.
  func showRegisters() {}

  /// Which writes want the bell while nobody looks; bit n stands for the double words whose number is n, modulo 32.
  var restingBell: UInt32 { .max }

  /// The device is closed: what should last is made to last.
  func settle() {}

  // MARK: Looking

  /// What the event loop calls before it sleeps; true: not yet.
  ///
  /// While it finds work the driver need not ring, because the loop comes back: `bellWanted` tells it so. Before the loop
  /// may sleep the flag is set, then everything is looked at again.
  final func poll() -> Bool {
    if service() {
      if spin > 0 { lastWork = monotonicNow() }
      wantBell(0)
      return true
    }
    if spin > 0, bellWanted == 0, !isVanished, monotonicNow() - lastWork < spin { return true }
    while true {
      let wanted = restingBell
      guard bellWanted != wanted else { return false }
      wantBell(wanted)
      bh_full_fence()
      if service() { return true }
    }
  }

  final func wantBell(_ value: UInt32) {
    guard bellWanted != value else { return }
    bellWanted = value
    if !isVanished { registers.store(DriverFile.bellWantedOffset, value) }
  }

  /// Runs `action` later, unless the controller is reset or gone by then.
  final func later(_ delay: Nanoseconds, _ action: @escaping (EmulatedController) -> Void) {
    let hook = hook
    let epoch = epoch
    loop.after(delay) {
      guard let controller = hook.controller?.takeUnretainedValue(), controller.epoch == epoch else { return }
      action(controller)
    }
  }

  /// Sends the message of a vector.
  final func signal(_ vector: Int) {
    guard vector < vectorCount, vectors[vector] >= 0, iommu.isBusMaster else { return }
    interruptCount &+= 1
    signals[vector] &+= 1
    EventDescriptor.signal(vectors[vector])
  }

  /// Whether a rule of this kind fires; all that concern it count the occasion.
  final func fires(_ kind: (Misbehaviour.Kind) -> Bool) -> Bool {
    var any = false
    for index in armed.indices where kind(armed[index].rule.kind) { any = armed[index].fires(&generator) || any }
    return any
  }
}

/// The way from the loop's closures to the controller. It does not keep the controller, and costs no count a poll.
final class Hook {
  var controller: Unmanaged<EmulatedController>?

  func poll() -> Bool { controller?._withUnsafeGuaranteedRef { $0.poll() } ?? false }
}
