import Foundation
import Testing

@testable import PCI

/// A directory that looks like /sys, /proc and /dev; removed with the value.
final class FakeTree {
  let root: String
  var tree: KernelTree { KernelTree(sys: "\(root)/sys", proc: "\(root)/proc", dev: "\(root)/dev") }
  var bus: PCIBus { PCIBus(tree: tree, namesFile: "\(root)/pci.ids") }

  init() {
    var template = Array("/tmp/bulkhead-pci-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil)
    root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    for directory in ["sys/bus/pci/devices", "sys/bus/pci/drivers", "proc/self", "dev"] { makeDirectory(directory) }
    write(
      "pci.ids",
      """
      1b36  Red Hat, Inc.
      \t000c  QEMU PCIe Root port
      \t0010  QEMU NVM Express Controller
      8086  Intel Corporation
      \t10d3  82574L Gigabit Network Connection
      C 01  Mass storage controller
      \t08  Non-Volatile memory controller
      C 02  Network controller
      \t00  Ethernet controller
      C 06  Bridge
      \t04  PCI bridge

      """)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: root)
  }

  func makeDirectory(_ path: String) {
    var whole = root
    for part in path.split(separator: "/") {
      whole += "/\(part)"
      _ = mkdir(whole, 0o755)
    }
  }

  func write(_ path: String, _ text: String) { write(path, Array(text.utf8)) }

  func write(_ path: String, _ bytes: [UInt8]) {
    makeDirectory(path.split(separator: "/").dropLast().joined(separator: "/"))
    let file = open("\(root)/\(path)", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    precondition(file >= 0 && Foundation.write(file, bytes, bytes.count) == bytes.count)
    close(file)
  }

  /// A link to a path of the tree (absolute, which sysfs's are not; only where it leads matters).
  func link(_ path: String, to target: String) {
    makeDirectory(path.split(separator: "/").dropLast().joined(separator: "/"))
    precondition(symlink("\(root)/\(target)", "\(root)/\(path)") == 0)
  }

  /// Adds a function below `parent` (the real paths of bridges, joined).
  /// - Returns: the path of its real directory.
  @discardableResult
  func add(
    _ address: String, parent: String = "", vendor: Int = 0x1b36, device: Int = 0x0010, classCode: Int = 0x010802,
    driver: String? = nil, group: Int? = nil, config: [UInt8] = [UInt8](repeating: 0, count: 256)
  ) -> String {
    let path = "sys/devices/pci0000:00/\(parent.isEmpty ? "" : parent + "/")\(address)"
    let attributes = [
      "vendor": hex(vendor), "device": hex(device), "class": hex(classCode), "irq": "11", "numa_node": "-1",
      "subsystem_vendor": "0x1af4", "subsystem_device": "0x1100", "revision": "0x02", "driver_override": "(null)",
      "reset_method": "flr bus",
      "resource": "0x00000000fe000000 0x00000000fe003fff 0x0000000000140204\n"
        + String(repeating: "0x0000000000000000 0x0000000000000000 0x0000000000000000\n", count: 12),
    ]
    for (name, value) in attributes { write("\(path)/\(name)", value + "\n") }
    write("\(path)/config", config)
    link("sys/bus/pci/devices/\(address)", to: path)
    if let driver {
      makeDirectory("sys/bus/pci/drivers/\(driver)")
      link("\(path)/driver", to: "sys/bus/pci/drivers/\(driver)")
    }
    if let group {
      makeDirectory("sys/kernel/iommu_groups/\(group)/devices")
      link("\(path)/iommu_group", to: "sys/kernel/iommu_groups/\(group)")
    }
    return path
  }

  /// Adds a block device below a PCI function and in /sys/class/block.
  func addDisk(_ name: String, at path: String, number: String) {
    write("\(path)/dev", number + "\n")
    makeDirectory("\(path)/holders")
    link("sys/class/block/\(name)", to: path)
  }

  private func hex(_ value: Int) -> String { "0x" + String(value, radix: 16) }
}

/// A running kernel of which each answer is given.
struct FakeProbe: HostProbe {
  var addresses: [String: [String]] = [:]
  var claimed: Set<String> = []

  func addresses(ofInterface name: String) -> [String] { addresses[name] ?? [] }
  func isClaimed(blockDevice path: String) -> Bool { claimed.contains(String(path.split(separator: "/").last!)) }
}

/// Configuration space with `words` (16 bits) at their offsets.
func config(size: Int = 256, _ words: [Int: UInt16]) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: size)
  for (offset, word) in words {
    bytes[offset] = UInt8(truncatingIfNeeded: word)
    bytes[offset + 1] = UInt8(word >> 8)
  }
  return bytes
}

/// The address that a test names.
func address(_ text: String) throws -> PCIAddress { try #require(PCIAddress(text)) }
