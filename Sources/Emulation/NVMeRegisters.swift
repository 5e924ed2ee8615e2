import Protocol

/// Offsets of the controller registers (NVMe 1.4 section 3.1).
enum RegisterOffset {
  static let cap = 0x00
  static let vs = 0x08
  static let intms = 0x0C
  static let intmc = 0x10
  static let cc = 0x14
  static let csts = 0x1C
  static let nssr = 0x20
  static let aqa = 0x24
  static let asq = 0x28
  static let acq = 0x30
  /// Submission queue y: + 8 y; its completion queue's head: + 8 y + 4 (CAP.DSTRD = 0).
  static let doorbells = 0x1000
  /// Ours, behind the doorbells where the specification leaves room to the vendor: which writes want the bell rung.
  static let bellWanted = DriverFile.bellWantedOffset
}

/// CAP (section 3.1.1).
enum ControllerCapabilities {
  /// CQR (bit 16): queues are contiguous. TO (31:24): 2 s. CSS (44:37) bit 0: the NVM command set. DSTRD, MPSMIN and
  /// MPSMAX are 0.
  static func value(queueEntries: Int) -> UInt64 {
    UInt64(queueEntries - 1) | 1 << 16 | 4 << 24 | 1 << 37
  }
  /// 1.4.0 (section 3.1.2).
  static let version: UInt32 = 0x0001_0400
}

/// CC (section 3.1.5).
struct ControllerConfiguration: Equatable {
  var rawValue: UInt32
  var isEnabled: Bool { rawValue & 1 != 0 }
  var commandSet: UInt32 { rawValue >> 4 & 7 }
  var pageShift: UInt32 { rawValue >> 7 & 15 }
  var arbitration: UInt32 { rawValue >> 11 & 7 }
  /// 1 normal, 2 abrupt.
  var shutdown: UInt32 { rawValue >> 14 & 3 }
  var submissionEntryShift: UInt32 { rawValue >> 16 & 15 }
  var completionEntryShift: UInt32 { rawValue >> 20 & 15 }
}

/// CSTS (section 3.1.6).
enum ControllerStatus {
  static let ready: UInt32 = 1 << 0
  static let fatal: UInt32 = 1 << 1
  static let shutdownComplete: UInt32 = 2 << 2
}

extension RegisterMemory {
  @inline(__always)
  static func submissionDoorbell(_ queue: Int) -> Int { RegisterOffset.doorbells + 8 * queue }
  @inline(__always)
  static func completionDoorbell(_ queue: Int) -> Int { RegisterOffset.doorbells + 8 * queue + 4 }
}
