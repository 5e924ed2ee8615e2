import CBulkhead
import Jail
import Platform
import Protocol
import VFIO

extension BrokerDevice {
  /// A real device, through the kernel's VFIO. The caller is root, and stays it until ``settle`` was called.
  /// - Throws: `broker-flusher`, `broker-memory`, `broker-iova`, and any `vfio-` failure.
  public static func vfio(_ context: BrokerDeviceContext) throws(Failure) -> BrokerDevice {
    let configuration = context.configuration
    guard configuration.emulation.isEmpty else {
      throw Failure(
        "broker-emulation", "open a real device for \(configuration.emulation)",
        hint: "an emulated device needs bulkhead-broker-emulated")
    }
    // Memory that block I/O needs must not wait for block I/O.
    try checked(bh_set_io_flusher(), "broker-flusher", "become safe under memory reclaim", hint: "start as root")
    try checked(bh_unlimit_locked_memory(), "broker-memory", "raise RLIMIT_MEMLOCK", hint: "start as root")
    let backing = try VFIOBacking(address: configuration.address, groupNumber: Int(configuration.group))
    try checkWindows(backing, configuration)
    let watch = InterruptWatch(address: configuration.address, vectors: Int(configuration.interrupts))
    if watch == nil { Log.warning("/proc/interrupts cannot be read: interrupts are not watched") }
    let rules = rules(
      container: backing.container.file, device: backing.deviceFile, interrupts: watch?.number)
    return BrokerDevice(backing, interrupts: watch, rules: rules) { () throws(Failure) in
      try checked(bh_lock_memory(), "broker-memory", "lock memory", hint: "start as root")
    }
  }

  /// Whether the IOMMU can map where the memory has to be; said now, not when the first driver comes.
  private static func checkWindows(_ backing: VFIOBacking, _ configuration: BrokerConfiguration) throws(Failure) {
    let info = try backing.container.info()
    for (name, iova, size) in [
      ("arena", AddressMap.arena, configuration.arenaSize),
      ("payload", AddressMap.payload, configuration.payloadSize),
    ] where size > 0 && !info.contains(iova: iova, size: UInt64(roundedToPages(Int(size)))) {
      throw Failure(
        "broker-iova", "place the \(name) at IOVA 0x\(String(iova, radix: 16)), \(size) bytes",
        hint: "the IOMMU reserves some of it; ranges: \(info.ranges)")
    }
  }

  private static func rules(container: Int32, device: Int32, interrupts: Int32?) -> [SeccompRule] {
    let device = ArgumentCondition.file(device, "device")
    let container = ArgumentCondition.file(container, "container")
    // linux/vfio.h: _IO(';', 100 + n)
    func request(_ number: UInt64, _ name: String) -> ArgumentCondition { .equals(1, 0x3B64 + number, name) }
    var rules = [
      SeccompRule("pread64", [device], because: "reads config space"),
      SeccompRule("pwrite64", [device], because: "writes config space: bus master, and what the filter permits"),
      SeccompRule("ioctl", [device, request(9, "VFIO_DEVICE_GET_IRQ_INFO")], because: "counts vectors before wiring"),
      SeccompRule("ioctl", [device, request(10, "VFIO_DEVICE_SET_IRQS")], because: "wires and unwires interrupts"),
      SeccompRule("ioctl", [device, request(11, "VFIO_DEVICE_RESET")], because: "resets between drivers"),
      SeccompRule("ioctl", [container, request(13, "VFIO_IOMMU_MAP_DMA")], because: "gives the device a new arena"),
      SeccompRule("ioctl", [container, request(14, "VFIO_IOMMU_UNMAP_DMA")], because: "takes an old arena away"),
      SeccompRule("ioctl", [request(5, "VFIO_GROUP_UNSET_CONTAINER")], because: "leaves in order"),
    ]
    if let interrupts {
      rules.append(SeccompRule("pread64", [.file(interrupts, "/proc/interrupts")], because: "watches interrupt rates"))
    }
    return rules
  }
}
