/// One PCI function as it was when it was looked at.
public struct PCIDevice: Sendable, Equatable {
  public var address: PCIAddress
  public var vendorID: UInt16
  public var deviceID: UInt16
  public var subsystemVendorID: UInt16
  public var subsystemID: UInt16
  /// Base class, subclass and programming interface, 24 bits: `0x010802` is NVMe.
  public var classCode: UInt32
  public var revision: UInt8
  /// Names from pci.ids; the number in words where it has none.
  public var vendorName: String
  public var deviceName: String
  public var className: String
  /// The kernel driver that has the device.
  public var driver: String?
  public var iommuGroup: Int?
  public var numaNode: Int?
  /// The BARs that exist.
  public var bars: [BaseAddress]
  /// Header type 1: a bridge to another bus.
  public var hasBridgeHeader: Bool
  public var capabilities: Capabilities
  /// `reset_method` in the order the kernel tries (Linux 5.15 and later; empty before).
  public var resetMethods: [String]

  /// Base class 6: host, ISA and PCI bridges. Not a device that a driver could be given.
  public var isBridge: Bool { hasBridgeHeader || classCode >> 16 == 0x06 }

  /// `0000:01:00.0 Red Hat, Inc. QEMU NVM Express Controller [1b36:0010]`
  public var summary: String {
    "\(address) \(vendorName) \(deviceName) [\(padded(UInt32(vendorID), to: 4)):\(padded(UInt32(deviceID), to: 4))]"
  }
}

/// A base address register with the resource that the kernel gave it.
public struct BaseAddress: Sendable, Equatable {
  /// 0...5.
  public var index: Int
  /// Physical address; 0 if none was assigned.
  public var start: UInt64
  /// Bytes.
  public var size: UInt64
  /// The kernel's IORESOURCE_ flags.
  public var flags: UInt64

  public var isMemory: Bool { flags & 0x200 != 0 }
  public var isIO: Bool { flags & 0x100 != 0 }
  public var isPrefetchable: Bool { flags & 0x2000 != 0 }
  public var is64Bit: Bool { flags & 0x10_0000 != 0 }

  /// From the first six lines of sysfs `resource`: `start end flags` in hexadecimal. Unreadable lines count as absent.
  static func parse(_ text: String) -> [BaseAddress] {
    text.split(separator: "\n", omittingEmptySubsequences: false).prefix(6).enumerated().compactMap { index, line in
      let words = line.split(separator: " ").map { UInt64($0.dropFirst(2), radix: 16) }
      guard words.count == 3, let start = words[0], let end = words[1], let flags = words[2], flags != 0, end >= start,
        end - start < .max
      else { return nil }
      return BaseAddress(index: index, start: start, size: end - start + 1, flags: flags)
    }
  }
}
