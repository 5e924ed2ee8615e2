import Platform
import VFIO

/// An emulated NVMe controller behind the device seam. BAR 0: a page of registers, a page of doorbells, a page each for the
/// MSI-X table and the pending bits.
public final class EmulatedNVMeBacking: EmulatedBacking {
  var nvme: NVMeController { unsafeDowncast(controller, to: NVMeController.self) }

  /// Opens the medium itself; see ``init(_:medium:loop:)``.
  public convenience init(_ options: EmulationOptions, loop: EventLoop) throws(Failure) {
    try self.init(options, medium: options.openMedium(), loop: loop)
  }

  /// Makes the device and puts it on the loop. It is at rest: bus master and memory decoding are off.
  /// - Parameter medium: what ``EmulationOptions/openMedium()`` gave, here or in another process.
  /// - Throws: `emulated-image`, `emulated-memory`, `memfd`, `mmap`, `eventfd`.
  public init(_ options: EmulationOptions, medium: consuming Descriptor, loop: EventLoop) throws(Failure) {
    let memory = try SharedMemory(name: "bulkhead-emulated-bar", size: Self.description.mappedSize)
    let controller = try NVMeController(
      options, medium: medium, registers: RegisterMemory(base: memory.mapping.base, size: Self.description.mappedSize),
      loop: loop)
    try super.init(options, Self.description, controller, memory: memory, loop: loop)
  }

  /// Red Hat's ids for the controller that QEMU emulates.
  static let description = FunctionDescription(
    vendor: 0x1B36, device: 0x0010, subsystemVendor: 0x1B36, subsystem: 0x0010, classCode: 0x01_0802,
    barKind: 0x4,  // memory, 64 bit
    barSize: 0x4000, mappedSize: 0x2000, tableBar: 0, tableBarSize: 0x4000, tableOffset: 0x2000, pendingOffset: 0x3000)

  /// Commands that were fetched since the device was made.
  public var commandCount: UInt64 { nvme.commandCount }

  /// Power fails and comes back: unflushed writes are lost, registers and configuration space forget. Arenas and wired
  /// eventfds stay: they are not the device's.
  ///
  /// Only with ``EmulationOptions/journal`` is it known what was unflushed; without it nothing is lost.
  @discardableResult
  public func powerLoss(_ loss: PowerLoss = .everything) -> PowerLossReport { nvme.losePower(loss) }
}
