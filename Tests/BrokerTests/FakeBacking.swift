import Glibc
import Platform
import VFIO

/// A device without hardware: config space as bytes, and a record of what was done to it, in order.
final class FakeBacking: DeviceBacking {
  let address = "0000:01:00.0"
  let deviceFile: Int32
  var regions = [
    DeviceRegion(bar: 0, size: 16384, fileOffset: 0, isReadable: true, isWritable: true, isMappable: true)
  ]
  var config: [UInt8]
  var vectors: [InterruptKind: Int] = [.msix: 4]
  /// `bus-master on`, `map 10000000`, ...
  private(set) var operations: [String] = []
  /// What fails, by the same names.
  var failures: [String: Failure] = [:]
  private(set) var mapped: [UInt64: ArenaMapping] = [:]
  private(set) var eventfds: [Int32] = []
  private(set) var isClosed = false

  /// - Parameter deviceFile: becomes the backing's; nil: one that cannot be mapped.
  init(deviceFile: Int32? = nil) {
    self.deviceFile = deviceFile ?? open("/dev/null", O_RDWR | O_CLOEXEC)
    config = FakeConfig.device()
  }

  deinit { Descriptor.close(deviceFile) }

  func forgetOperations() { operations = [] }

  private func perform(_ operation: String) throws(Failure) {
    operations.append(operation)
    if let failure = failures[operation] { throw failure }
  }

  func mappableRanges(bar: Int) throws(Failure) -> [MappableRange] {
    // Page 2 holds the MSI-X table.
    [
      MappableRange(offset: 0, length: 8192, fileOffset: 0),
      MappableRange(offset: 12288, length: 4096, fileOffset: 12288),
    ]
  }

  func readConfig(offset: Int, width: ConfigWidth) throws(Failure) -> UInt32 {
    (0..<width.rawValue).reduce(0) { $0 | UInt32(config[offset + $1]) << UInt32(8 * $1) }
  }

  func writeConfig(offset: Int, width: ConfigWidth, value: UInt32) throws(Failure) {
    try perform("config-write \(String(offset, radix: 16))")
  }

  func interruptCount(_ kind: InterruptKind) throws(Failure) -> Int { vectors[kind] ?? 0 }

  func wireInterrupts(_ kind: InterruptKind, eventfds: [Int32]) throws(Failure) {
    try perform("wire \(eventfds.count)")
    self.eventfds = eventfds
  }

  func setInterrupt(_ kind: InterruptKind, vector: Int, eventfd: Int32?) throws(Failure) {
    try perform("\(eventfd == nil ? "switch-off" : "rewire") \(vector)")
  }

  func disableInterrupts(_ kind: InterruptKind) throws(Failure) { try perform("unwire") }

  func mapArena(_ arena: ArenaMapping) throws(Failure) {
    try perform("map \(String(arena.iova, radix: 16))")
    mapped[arena.iova] = arena
  }

  func unmapArena(iova: UInt64) throws(Failure) {
    // The memory must still be there: this would be a fault otherwise.
    if let arena = mapped[iova] { _ = arena.base.load(as: UInt8.self) }
    try perform("unmap \(String(iova, radix: 16))")
    mapped[iova] = nil
  }

  func setBusMaster(_ enabled: Bool) throws(Failure) { try perform("bus-master \(enabled ? "on" : "off")") }
  func setMemoryEnable(_ enabled: Bool) throws(Failure) { try perform("memory \(enabled ? "on" : "off")") }
  func reset() throws(Failure) { try perform("reset") }

  func close() {
    isClosed = true
    operations.append("close")
  }
}

/// Config space of an NVMe-like device: power management at 0x40, PCI Express at 0x80, MSI-X at 0xB0, vendor-specific at
/// 0xE0; AER at 0x100, serial number at 0x150, ATS at 0x160.
enum FakeConfig {
  static func device() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 4096)
    func put(_ offset: Int, _ values: UInt8...) { bytes.replaceSubrange(offset..<offset + values.count, with: values) }
    put(0x00, 0x36, 0x1B, 0x10, 0x00)
    put(0x06, 0x10, 0x00)
    put(0x08, 0x02, 0x02, 0x08, 0x01)
    put(0x2C, 0xF4, 0x1A, 0x00, 0x11)
    put(0x34, 0x40)
    put(0x40, 0x01, 0x80)
    put(0x80, 0x10, 0xB0)
    put(0xB0, 0x11, 0xE0)
    put(0xE0, 0x09, 0x00)
    put(0x100, 0x01, 0x00, 0x01, 0x15)
    put(0x150, 0x03, 0x00, 0x01, 0x16)
    put(0x160, 0x0F, 0x00, 0x01, 0x00)
    return bytes
  }
}
