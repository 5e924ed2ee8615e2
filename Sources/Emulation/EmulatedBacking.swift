import CBulkhead
import Glibc
import Platform
import VFIO

/// An emulated PCI function behind the device seam, with an IOMMU in software.
///
/// It lives on the thread of its ``EventLoop``. A driver maps ``deviceFile``, writes registers and doorbells as plain
/// memory, and then adds one to ``bell``, if the word at `DriverFile.bellWantedOffset` of BAR 0 wants to hear of the write;
/// while the controller is looking anyway it does not. Registers whose reading or writing does something are accessed
/// through the words of `RegisterTrap`, if the device has such.
public class EmulatedBacking: DeviceBacking {
  public let address: String
  /// A sealed memfd with the part of BAR 0 that a driver may map.
  public let deviceFile: Int32
  /// An eventfd: whoever wrote a register or a doorbell signals it.
  public let bell: Int32?

  let function: FunctionDescription
  let controller: EmulatedController
  private let memory: SharedMemory
  private let bellFile: Descriptor
  private let loop: EventLoop
  private var bellToken: EventLoop.Token?
  private var config: EmulatedConfigSpace
  private var wiredKind: InterruptKind?
  private var wiredCount = 0
  private var isClosed = false

  /// Puts a controller on the loop. It is at rest: bus master and memory decoding are off.
  /// - Parameters:
  ///   - memory: the registers that the controller has, ``FunctionDescription/mappedSize`` bytes.
  /// - Throws: `eventfd`.
  init(
    _ options: EmulationOptions, _ function: FunctionDescription, _ controller: EmulatedController,
    memory: consuming SharedMemory, loop: EventLoop
  ) throws(Failure) {
    self.function = function
    self.controller = controller
    self.memory = memory
    bellFile = try EventDescriptor.make()
    config = EmulatedConfigSpace(function, vectors: options.vectors)
    address = options.address
    deviceFile = self.memory.file.number
    bell = bellFile.number
    self.loop = loop
    controller.onPowerCycle = { [weak self] in self?.setCommand(0) }
    let hook = controller.hook
    let bell = bellFile.number
    bellToken = loop.watch(bell) { _ in
      EventDescriptor.drain(bell)
      _ = hook.poll()
    }
    loop.poll { hook.poll() }
  }

  deinit { close() }

  public var regions: [DeviceRegion] {
    func region(_ bar: Int, _ size: Int, isMappable: Bool) -> DeviceRegion {
      DeviceRegion(
        bar: bar, size: UInt64(size), fileOffset: 0, isReadable: true, isWritable: true, isMappable: isMappable)
    }
    let registers = region(0, function.barSize, isMappable: true)
    guard function.tableBar != 0 else { return [registers] }
    return [registers, region(function.tableBar, function.tableBarSize, isMappable: false)]
  }

  /// The registers; the MSI-X table is nobody's to map, and no file holds it.
  public func mappableRanges(bar: Int) throws(Failure) -> [MappableRange] {
    guard bar == 0 else { return [] }
    return [MappableRange(offset: 0, length: UInt64(function.mappedSize), fileOffset: 0)]
  }

  public func readConfig(offset: Int, width: ConfigWidth) throws(Failure) -> UInt32 {
    try opened()
    let value = try config.read(offset, width)
    return controller.isVanished ? UInt32.max >> UInt32(32 - 8 * width.rawValue) : value
  }

  public func writeConfig(offset: Int, width: ConfigWidth, value: UInt32) throws(Failure) {
    try opened()
    var wanted = config
    try wanted.write(offset, width, value)
    guard !controller.isVanished else { return }
    config = wanted
    applyCommand()
  }

  public func interruptCount(_ kind: InterruptKind) throws(Failure) -> Int {
    kind == .msix ? controller.vectorCount : 0
  }

  public func wireInterrupts(_ kind: InterruptKind, eventfds: [Int32]) throws(Failure) {
    try opened()
    let available = try interruptCount(kind)
    guard !eventfds.isEmpty, eventfds.count <= available else {
      throw Failure("emulated-irq", "wire \(eventfds.count) of \(available) \(kind) vectors of \(address)")
    }
    try disableInterrupts(kind)
    for (vector, file) in eventfds.enumerated() { controller.vectors[vector] = file }
    wiredKind = kind
    wiredCount = eventfds.count
  }

  public func setInterrupt(_ kind: InterruptKind, vector: Int, eventfd: Int32?) throws(Failure) {
    try opened()
    guard wiredKind == kind, (0..<wiredCount).contains(vector) else {
      throw Failure("emulated-irq", "\(kind) vector \(vector) of \(address) is not wired")
    }
    controller.vectors[vector] = eventfd ?? -1
  }

  public func disableInterrupts(_ kind: InterruptKind) throws(Failure) {
    guard wiredKind == kind else { return }
    controller.vectors.update(repeating: -1, count: controller.vectorCount)
    wiredKind = nil
    wiredCount = 0
  }

  /// The arena's mapping in this process is used, and only until it is unmapped.
  /// - Throws: `emulated-map`.
  public func mapArena(_ arena: ArenaMapping) throws(Failure) {
    try opened()
    try controller.iommu.map(arena)
  }

  /// - Throws: `emulated-unmap`.
  public func unmapArena(iova: UInt64) throws(Failure) { try controller.iommu.unmap(iova: iova) }

  public func setBusMaster(_ enabled: Bool) throws(Failure) { try setCommand(EmulatedConfigSpace.busMaster, enabled) }

  public func setMemoryEnable(_ enabled: Bool) throws(Failure) {
    try setCommand(EmulatedConfigSpace.memoryEnable, enabled)
  }

  /// A function-level reset: everything but the contents of a write cache, which keeps its power, and the command
  /// register, which the kernel restores after a reset.
  /// - Throws: `emulated-gone` while the device is gone.
  public func reset() throws(Failure) {
    try opened()
    guard !controller.isVanished else {
      throw Failure("emulated-gone", "reset \(address): registers read as all ones", errno: EIO)
    }
    controller.powerOn()
  }

  public func close() {
    guard !isClosed else { return }
    setCommand(0)
    controller.vectors.update(repeating: -1, count: controller.vectorCount)
    if !controller.isVanished { controller.powerOn() }
    controller.iommu.unmapAll()
    controller.hook.controller = nil
    if let bellToken { loop.remove(bellToken) }
    controller.settle()
    isClosed = true
  }

  private func opened() throws(Failure) {
    guard !isClosed else {
      throw Failure("emulated-closed", "use \(address) after it was closed", errno: EBADF)
    }
  }

  /// A device that is gone ignores this, and does no DMA until it is back. That it is gone is for the driver to notice,
  /// as with a real one.
  private func setCommand(_ bit: UInt32, _ enabled: Bool) throws(Failure) {
    try opened()
    setCommand(enabled ? config.command | bit : config.command & ~bit)
  }

  private func setCommand(_ value: UInt32) {
    config.command = value
    applyCommand()
  }

  private func applyCommand() {
    controller.iommu.isBusMaster = config.command & EmulatedConfigSpace.busMaster != 0
    controller.isMemoryEnabled = config.command & EmulatedConfigSpace.memoryEnable != 0
  }
}

extension EmulatedBacking {
  /// The first ``SoftwareIOMMU/faultLimit`` accesses that the IOMMU stopped.
  public var faults: [EmulatedFault] { controller.iommu.faults }
  /// All accesses that the IOMMU stopped.
  public var faultCount: UInt64 { controller.iommu.faultCount }
  /// Those that the device was not kept from by bus mastering being off: a real device makes none then.
  public var onAccessFault: ((String) -> Void)? {
    get { nil }
    set {
      guard let newValue else {
        onFault = nil
        return
      }
      onFault = { fault in if fault.reason != .busMasterOff { newValue("\(fault)") } }
    }
  }
  /// Called at each of them, on the loop's thread.
  public var onFault: ((EmulatedFault) -> Void)? {
    get { controller.iommu.onFault }
    set { controller.iommu.onFault = newValue }
  }
  /// Interrupts that each vector has sent since the device was made.
  public var interruptCounts: [UInt64] { (0..<controller.vectorCount).map { controller.signals[$0] } }
  /// Interrupts that were sent since the device was made.
  public var interruptCount: UInt64 { controller.interruptCount }
  /// Whether the device is gone.
  public var isVanished: Bool { controller.isVanished }

  /// Looks at registers and doorbells now; returns whether there was work. For callers without a running loop.
  @discardableResult
  public func service() -> Bool { controller.service() }

  /// Adds a misbehaviour while the device runs. Its count begins now.
  public func misbehave(_ misbehaviour: Misbehaviour) { controller.armed.append(ArmedMisbehaviour(misbehaviour)) }

  /// Forgets all misbehaviours that have not begun; a stall or a disappearance goes on.
  public func behave() { controller.armed.removeAll(keepingCapacity: true) }
}
