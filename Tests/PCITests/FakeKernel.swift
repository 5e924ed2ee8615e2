import Platform

@testable import PCI

/// The part of the kernel that answers writes to sysfs by binding and unbinding.
final class FakeKernel: SysfsAccess {
  struct Device {
    var driver: String?
    var override: String?
    /// The driver that matches the device's ids.
    var native: String?
  }

  var devices: [String: Device] = [:]
  var drivers: Set<String> = ["nvme", "e1000e", "vfio-pci"]
  /// Drivers whose probe function fails, by device.
  var failingProbes: [String: Set<String>] = [:]
  /// How many looks at a link it takes until a change shows.
  var latency = 0
  private(set) var writes: [String] = []
  private var stale: [String: (driver: String?, looks: Int)] = [:]

  func add(_ address: String, driver: String?, native: String? = nil) {
    devices[address] = Device(driver: driver, native: native ?? driver)
  }

  func exists(_ path: String) -> Bool {
    let parts = path.split(separator: "/").map(String.init)
    switch parts.count {
    case 4 where parts[2] == "devices": return devices[parts[3]] != nil
    case 4 where parts[2] == "drivers": return drivers.contains(parts[3])
    default: return false
    }
  }

  func linkName(_ path: String) -> String? {
    let address = String(path.split(separator: "/")[3])
    if let old = stale[address], old.looks > 0 {
      stale[address] = (old.driver, old.looks - 1)
      return old.driver
    }
    return devices[address]?.driver
  }

  func read(_ path: String) throws(Failure) -> String {
    guard let device = devices[String(path.split(separator: "/")[3])] else {
      throw Failure("sysfs-read", path, errno: 2)
    }
    return device.override ?? "(null)"
  }

  func settle() {}

  func write(_ text: String, to path: String) throws(Failure) {
    writes.append("\(text == "\n" ? "\\n" : text) > \(path)")
    let parts = path.split(separator: "/").map(String.init)
    switch parts.last {
    case "driver_override":
      guard devices[parts[3]] != nil else { throw Failure("sysfs-write", "write '\(text)' to \(path)", errno: 2) }
      devices[parts[3]]?.override = text == "\n" ? nil : text
    case "drivers_probe":
      guard devices[text] != nil else { throw Failure("sysfs-write", "write '\(text)' to \(path)", errno: 22) }
      probe(text)  // reports success whether or not somebody claims the device
    case "unbind":
      guard devices[text]?.driver == parts[3] else {
        throw Failure("sysfs-write", "write '\(text)' to \(path)", errno: 19)
      }
      setDriver(text, nil)
    case "bind":
      guard drivers.contains(parts[3]), devices[text]?.driver == nil, !fails(text, parts[3]) else {
        throw Failure("sysfs-write", "write '\(text)' to \(path)", errno: 19)
      }
      setDriver(text, parts[3])
    default: throw Failure("sysfs-write", "write '\(text)' to \(path)", errno: 2)
    }
  }

  private func probe(_ address: String) {
    guard let device = devices[address], device.driver == nil else { return }
    guard let driver = device.override ?? device.native, drivers.contains(driver), !fails(address, driver) else {
      return
    }
    setDriver(address, driver)
  }

  private func fails(_ address: String, _ driver: String) -> Bool { failingProbes[address]?.contains(driver) == true }

  private func setDriver(_ address: String, _ driver: String?) {
    stale[address] = (devices[address]?.driver, latency)
    devices[address]?.driver = driver
  }
}
