import Platform

/// Moves devices between their kernel driver and vfio-pci, and verifies each move.
///
/// The order for a caller: ``prepare(_:)``, persist the record, ``bindAll(_:)``; later ``release(_:)``, forget the record.
public struct Binder {
  private let sysfs: any SysfsAccess
  private let driver: String
  /// How often a link is looked at, 20 ms apart, before it counts as not changed: 2 s.
  private let attempts = 100

  public init(sysfs: any SysfsAccess = KernelTree(), driver: String = "vfio-pci") {
    self.sysfs = sysfs
    self.driver = driver
  }

  /// Looks at how the device is now. Changes nothing.
  ///
  /// A device that an earlier supervisor has bound looks as if vfio-pci were its own driver: use the record that one has
  /// persisted.
  /// - Throws: `pci-no-device`, `sysfs-read`.
  public func prepare(_ address: PCIAddress) throws(Failure) -> BindingRecord {
    let path = try existing(address)
    return BindingRecord(
      address: address, formerDriver: sysfs.linkName("\(path)/driver"),
      formerOverride: Binder.override(try sysfs.read("\(path)/driver_override")))
  }

  /// Binds one device; a device that is bound already stays so.
  /// - Throws: `pci-no-device`, `pci-vfio-missing`, `pci-bind`. The device may be half-way then: ``release(_:)`` undoes it.
  public func bind(_ record: BindingRecord) throws(Failure) {
    let path = try existing(record.address)
    guard sysfs.exists("bus/pci/drivers/\(driver)") else {
      throw Failure(
        "pci-vfio-missing", "bind \(record.address) to \(driver)", hint: "load the module: modprobe \(driver)")
    }
    try write(driver, to: "\(path)/driver_override", "pci-bind")
    if sysfs.linkName("\(path)/driver") == driver { return }
    try unbind(record.address, "pci-bind")
    try write(record.address.description, to: "bus/pci/drivers_probe", "pci-bind")
    // drivers_probe reports success also when nobody claims the device.
    guard waitForDriver(path, { $0 == driver }) else {
      throw Failure(
        "pci-bind", "bind \(record.address) to \(driver): the driver is \(current(path)) afterwards",
        hint: "the kernel log says why \(driver) did not take it")
    }
  }

  /// Binds all devices of a group or none: when one fails, those before it get their former driver back.
  /// - Throws: as ``bind(_:)``; the hint also tells what could not be undone.
  public func bindAll(_ records: [BindingRecord]) throws(Failure) {
    for (count, record) in records.enumerated() {
      do {
        try bind(record)
      } catch {
        var failure = error
        for undo in records[...count].reversed() {
          do { try release(undo) } catch {
            failure.hint += "\(failure.hint.isEmpty ? "" : "; ")also not undone: \(error)"
          }
        }
        throw failure
      }
    }
  }

  /// Gives a device back to its former driver, or leaves it without one if it had none. Safe to repeat, and after a crash
  /// at any step of ``bind(_:)``. A device that is no longer there counts as given back.
  ///
  /// Close the device's VFIO files before: the kernel does not let vfio-pci go while they are open, and this call would
  /// not return until they are closed.
  /// - Throws: `pci-release`.
  public func release(_ record: BindingRecord) throws(Failure) {
    let path = "bus/pci/devices/\(record.address)"
    guard sysfs.exists(path) else { return }
    try write(record.formerOverride ?? "\n", to: "\(path)/driver_override", "pci-release")
    let now = sysfs.linkName("\(path)/driver")
    // Whoever else has it by now was given it by the administrator, or it has never left its driver.
    if let now, now == record.formerDriver || now != driver { return }
    try unbind(record.address, "pci-release")
    guard let former = record.formerDriver else { return }
    try write(record.address.description, to: "bus/pci/drivers_probe", "pci-release")
    if waitForDriver(path, { $0 != nil }), sysfs.linkName("\(path)/driver") == former { return }
    // Nobody took it, or somebody else did: ask the former driver by name.
    if let other = sysfs.linkName("\(path)/driver"), other != former { try unbind(record.address, "pci-release") }
    guard sysfs.exists("bus/pci/drivers/\(former)") else {
      throw Failure(
        "pci-release", "give \(record.address) back to \(former): the driver is not there",
        hint: "load it (modprobe), then: echo \(record.address) > /sys/bus/pci/drivers_probe")
    }
    try write(record.address.description, to: "bus/pci/drivers/\(former)/bind", "pci-release")
    guard waitForDriver(path, { $0 == former }) else {
      throw Failure(
        "pci-release", "give \(record.address) back to \(former): the driver is \(current(path)) afterwards")
    }
  }

  /// Unbinds from whatever driver the device has, and waits until the link is gone.
  private func unbind(_ address: PCIAddress, _ code: String) throws(Failure) {
    let path = "bus/pci/devices/\(address)"
    guard let former = sysfs.linkName("\(path)/driver") else { return }
    try write(address.description, to: "bus/pci/drivers/\(former)/unbind", code)
    guard waitForDriver(path, { $0 == nil }) else {
      throw Failure(code, "unbind \(address) from \(former): it is still bound")
    }
  }

  private func existing(_ address: PCIAddress) throws(Failure) -> String {
    let path = "bus/pci/devices/\(address)"
    guard sysfs.exists(path) else { throw Failure("pci-no-device", "find \(address)") }
    return path
  }

  private func current(_ path: String) -> String { sysfs.linkName("\(path)/driver") ?? "none" }

  private func waitForDriver(_ path: String, _ condition: (String?) -> Bool) -> Bool {
    for attempt in 0..<attempts {
      if condition(sysfs.linkName("\(path)/driver")) { return true }
      if attempt + 1 < attempts { sysfs.settle() }
    }
    return false
  }

  private func write(_ text: String, to path: String, _ code: String) throws(Failure) {
    do {
      try sysfs.write(text, to: path)
    } catch {
      throw Failure(code, error.step, errno: error.errno, hint: error.hint)
    }
  }

  /// The meaning of `driver_override`'s contents: the kernel writes `(null)` for none.
  static func override(_ text: String?) -> String? {
    guard let text, !text.isEmpty, text != "(null)" else { return nil }
    return text
  }
}
