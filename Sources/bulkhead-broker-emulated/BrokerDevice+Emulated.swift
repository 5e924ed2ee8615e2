import Broker
import Emulation
import Jail
import Platform

extension BrokerDevice {
  /// An emulated device in this process. Needs no privilege.
  ///
  /// Memory is not locked and not guarded against reclaim, as it is for a real device: whoever keeps a disk in a file or
  /// in memory already depends on both.
  /// - Throws: `broker-emulation`, `emulation-option`, and any `emulated-` failure.
  static func emulated(_ context: BrokerDeviceContext) throws(Failure) -> BrokerDevice {
    let configuration = context.configuration
    guard let medium = context.medium else {
      throw Failure(
        "broker-emulation", "emulate the device at \(configuration.address)",
        hint: "real devices are for bulkhead-broker")
    }
    var options = try EmulationOptions(parsing: configuration.emulation)
    options.address = configuration.address
    let backing: EmulatedBacking
    let rules: [SeccompRule]
    switch options.model {
    case .nvme:
      backing = try EmulatedNVMeBacking(options, medium: Descriptor(owning: medium), loop: context.loop)
      rules = self.rules(medium: medium)
    case .e1000e:
      backing = try EmulatedE1000EBacking(options, wire: Descriptor(owning: medium), loop: context.loop)
      rules = self.rules(wire: medium)
    }
    return BrokerDevice(backing, interrupts: EmulatedInterrupts(backing), rules: rules)
  }

  private static func rules(medium: Int32) -> [SeccompRule] {
    let medium = ArgumentCondition.file(medium, "medium")
    return [
      SeccompRule("preadv", [medium], because: "the emulated device reads blocks from a file"),
      SeccompRule("pwritev", [medium], because: "the emulated device writes blocks to a file"),
      SeccompRule("fdatasync", [medium], because: "the emulated device flushes its cache"),
      SeccompRule("fallocate", [medium], because: "the emulated device zeroes and deallocates blocks"),
      SeccompRule("madvise", [.equals(2, 4, "MADV_DONTNEED")], because: "forgets what the write journal kept"),
    ]
  }

  private static func rules(wire: Int32) -> [SeccompRule] {
    let wire = ArgumentCondition.file(wire, "wire")
    return [
      SeccompRule("readv", [wire], because: "the emulated NIC receives frames from its wire"),
      SeccompRule("writev", [wire], because: "the emulated NIC sends frames to its wire"),
    ]
  }
}

/// The interrupts that an emulated device has sent.
private final class EmulatedInterrupts: InterruptCounts {
  private let backing: EmulatedBacking
  init(_ backing: EmulatedBacking) { self.backing = backing }
  func read() -> [UInt64] { backing.interruptCounts }
}
