import Platform
import VFIO

/// An emulated Intel 82574L behind the device seam. BAR 0: 128 KiB of registers; BAR 3: the MSI-X table and the pending bits,
/// which nobody maps (82574 datasheet 9.1.1).
///
/// A driver accesses the registers that do something through `RegisterTrap`; rings and filters are plain memory.
public final class EmulatedE1000EBacking: EmulatedBacking {
  var nic: E1000EController { unsafeDowncast(controller, to: E1000EController.self) }

  /// Makes the device and puts it on the loop. It is at rest: bus master and memory decoding are off.
  /// - Parameter wire: gives and takes one whole frame at a time, without check sequence, and does not block: a TAP's file
  ///   without headers, or a socket that keeps messages apart. Not used where ``EmulationOptions/wire`` is nil.
  /// - Throws: `memfd`, `mmap`, `eventfd`.
  public init(_ options: EmulationOptions, wire: consuming Descriptor, loop: EventLoop) throws(Failure) {
    let memory = try SharedMemory(name: "bulkhead-emulated-bar", size: Self.description.mappedSize)
    let registers = RegisterMemory(base: memory.mapping.base, size: Self.description.mappedSize)
    let cable: Descriptor? = options.wire == nil ? nil : consume wire
    let controller = E1000EController(options, wire: cable, registers: registers, loop: loop)
    try super.init(options, Self.description, controller, memory: memory, loop: loop)
  }

  /// The 82574L's ids (9.1.1.2); Intel's desktop adapter as the subsystem.
  static let description = FunctionDescription(
    vendor: 0x8086, device: 0x10D3, subsystemVendor: 0x8086, subsystem: 0xA01F, classCode: 0x02_0000,
    barKind: 0x0,  // memory, 32 bit
    barSize: 0x20000, mappedSize: 0x20000, tableBar: 3, tableBarSize: 0x4000, tableOffset: 0, pendingOffset: 0x2000)

  /// Whether the controller sees a link.
  public var isLinkUp: Bool { nic.isLinkUp }
}
