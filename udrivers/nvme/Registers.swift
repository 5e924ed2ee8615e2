import DriverKit

/// Controller registers in BAR 0, NVMe 2.0 section 3.1.3 (NVMe 1.4 section 3.1).
public enum ControllerRegister {
  /// CAP, controller capabilities: 3.1.3.1.
  public static let capabilities = Register<UInt64>(0x00)
  /// VS, version: 3.1.3.2.
  public static let version = Register<UInt32>(0x08)
  /// INTMS, interrupt mask set: 3.1.3.3. Not to be touched with MSI-X.
  public static let interruptMaskSet = Register<UInt32>(0x0c)
  /// INTMC, interrupt mask clear: 3.1.3.4. Not to be touched with MSI-X.
  public static let interruptMaskClear = Register<UInt32>(0x10)
  /// CC, controller configuration: 3.1.3.5.
  public static let configuration = Register<UInt32>(0x14)
  /// CSTS, controller status: 3.1.3.6.
  public static let status = Register<UInt32>(0x1c)
  /// NSSR, NVM subsystem reset: 3.1.3.7.
  public static let subsystemReset = Register<UInt32>(0x20)
  /// AQA, admin queue attributes: 3.1.3.8.
  public static let adminQueueAttributes = Register<UInt32>(0x24)
  /// ASQ, admin submission queue base address: 3.1.3.9.
  public static let adminSubmissionQueue = Register<UInt64>(0x28)
  /// ACQ, admin completion queue base address: 3.1.3.10.
  public static let adminCompletionQueue = Register<UInt64>(0x30)

  /// SQyTDBL, tail doorbell of submission queue `queue`: NVMe over PCIe 1.0 section 3.1.2.1.
  /// - Parameter stride: bytes between doorbells, from CAP.DSTRD.
  public static func submissionTail(_ queue: UInt16, stride: Int) -> Register<UInt32> {
    Register(0x1000 + 2 * Int(queue) * stride)
  }

  /// CQyHDBL, head doorbell of completion queue `queue`: NVMe over PCIe 1.0 section 3.1.2.2.
  public static func completionHead(_ queue: UInt16, stride: Int) -> Register<UInt32> {
    Register(0x1000 + (2 * Int(queue) + 1) * stride)
  }
}

/// CAP: NVMe 2.0 section 3.1.3.1.
public struct ControllerCapabilities: Equatable, Sendable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// MQES, bits 15:0, made one-based: the most entries of an I/O queue.
  public var maximumQueueEntries: Int { Int(rawValue & 0xffff) + 1 }
  /// CQR, bit 16: queues must be physically contiguous.
  public var requiresContiguousQueues: Bool { rawValue >> 16 & 1 == 1 }
  /// TO, bits 31:24, in nanoseconds: the longest time to become ready or not ready. The unit is 500 ms; 0 counts as one.
  public var timeout: Nanoseconds { Nanoseconds(max(1, rawValue >> 24 & 0xff)) * 500_000_000 }
  /// DSTRD, bits 35:32, in bytes.
  public var doorbellStride: Int { 4 << Int(rawValue >> 32 & 0xf) }
  /// CSS bit 0, bit 37: the NVM command set.
  public var supportsNVMCommandSet: Bool { rawValue >> 37 & 1 == 1 }
  /// MPSMIN, bits 51:48, in bytes.
  public var minimumPageSize: Int { 1 << (12 + Int(rawValue >> 48 & 0xf)) }
  /// MPSMAX, bits 55:52, in bytes.
  public var maximumPageSize: Int { 1 << (12 + Int(rawValue >> 52 & 0xf)) }
}

/// CC: NVMe 2.0 section 3.1.3.5.
public struct ControllerConfiguration: Equatable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// EN, bit 0.
  public static let enable: UInt32 = 1
  /// CSS, bits 6:4: 0 is the NVM command set. MPS, bits 10:7: 0 is 4 KiB. AMS, bits 13:11: 0 is round robin.
  /// IOSQES, bits 19:16: 6 is 64 bytes. IOCQES, bits 23:20: 4 is 16 bytes.
  public static let nvmWith4KiBPages = ControllerConfiguration(rawValue: 6 << 16 | 4 << 20 | enable)

  public var isEnabled: Bool { rawValue & Self.enable != 0 }
  public var disabled: ControllerConfiguration { ControllerConfiguration(rawValue: rawValue & ~Self.enable) }

  /// SHN, bits 15:14: 1 is a normal shutdown.
  public var shuttingDown: ControllerConfiguration {
    ControllerConfiguration(rawValue: rawValue & ~(3 << 14) | 1 << 14)
  }
}

/// CSTS: NVMe 2.0 section 3.1.3.6.
public struct ControllerStatus: Equatable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// RDY, bit 0.
  public var isReady: Bool { rawValue & 1 != 0 }
  /// CFS, bit 1: a fatal error that only a reset ends.
  public var isFatal: Bool { rawValue & 2 != 0 }
  /// SHST, bits 3:2: 2 is complete.
  public var isShutDown: Bool { rawValue >> 2 & 3 == 2 }
  /// What PCIe reads from a device that is not there.
  public var isGone: Bool { rawValue == .max }
}

extension Bar {
  /// Reads a 64-bit register as two halves, the lower first: not every controller takes wider accesses (NVMe 2.0 section
  /// 3.1.3 permits both).
  func readHalves(_ register: Register<UInt64>) -> UInt64 {
    let low = read(Register<UInt32>(register.offset))
    return UInt64(read(Register<UInt32>(register.offset + 4))) << 32 | UInt64(low)
  }

  func writeHalves(_ register: Register<UInt64>, _ value: UInt64) {
    write(Register<UInt32>(register.offset), UInt32(truncatingIfNeeded: value))
    write(Register<UInt32>(register.offset + 4), UInt32(truncatingIfNeeded: value >> 32))
  }
}
