import CBulkhead
import Platform

/// Identify (NVMe 1.4 section 5.15).
extension NVMeController {
  func identify(_ command: NVMeCommand) -> CommandResult {
    clearScratch()
    let namespace = command.namespace
    switch command.dword10 & 0xFF {
    case 0:
      guard namespace >= 1, namespace <= UInt32(namespaceCount) else { return .failed(.invalidNamespace) }
      describe(namespace: Int(namespace - 1))
      lie(aboutController: false)
    case 1:
      describeController()
      lie(aboutController: true)
    case 2:
      guard namespace < 0xFFFF_FFFE else { return .failed(.invalidNamespace) }
      var offset = 0
      for id in 1...UInt32(namespaceCount) where id > namespace {
        put32(id, at: offset)
        offset += 4
      }
    case 3:
      guard namespace >= 1, namespace <= UInt32(namespaceCount) else { return .failed(.invalidNamespace) }
      describeIdentity(namespace)
    default:
      return .failed(.invalidField)
    }
    return sendScratch(command, Self.pageBytes)
  }

  /// Figure 247.
  private func describeController() {
    put16(EmulatedNVMeBacking.description.vendor, at: 0)
    put16(EmulatedNVMeBacking.description.vendor, at: 2)
    put(options.serial, at: 4, length: 20)
    put("Bulkhead emulated NVMe", at: 24, length: 40)
    put("1.0", at: 64, length: 8)
    put8(Self.transferShift, at: 77)  // MDTS
    put32(ControllerCapabilities.version, at: 80)
    put8(3, at: 258)  // ACL
    put8(UInt8(Self.eventRequestLimit - 1), at: 259)  // AERL
    put8(0x03, at: 260)  // FRMW: one slot, read only
    put8(0x04, at: 261)  // LPA: extended data for Get Log Page
    put16(343, at: 266)  // WCTEMP, kelvin
    put16(353, at: 268)  // CCTEMP
    put8(0x66, at: 512)  // SQES
    put8(0x44, at: 513)  // CQES
    put32(UInt32(namespaceCount), at: 516)  // NN
    put16(0x000C, at: 520)  // ONCS: Dataset Management, Write Zeroes
    put8(options.cache ? 0x07 : 0x06, at: 525)  // VWC: present; flush of all namespaces
    put16(UInt16(options.atomicBlocks - 1), at: 526)  // AWUN
    put16(UInt16(options.atomicBlocks - 1), at: 528)  // AWUPF
    let name = "nqn.2014-08.org.nvmexpress:uuid:62756c6b-6865-4164-8000-\(identity(0, digits: 12))"
    for (index, byte) in name.utf8.enumerated() { put8(byte, at: 768 + index) }
  }

  /// Figure 245.
  private func describe(namespace index: Int) {
    let blocks = namespaces[index].blocks
    put64(blocks, at: 0)  // NSZE
    put64(blocks, at: 8)  // NCAP
    put64(blocks, at: 16)  // NUSE
    put8(namespaces[index].isReadOnly ? 1 : 0, at: 99)  // NSATTR: write protected
    put8(0x09, at: 33)  // DLFEAT: deallocated blocks read as zeroes, Write Zeroes can deallocate
    put8(UInt8(namespaces[index].blockSize.trailingZeroBitCount), at: 130)  // LBAF0.LBADS
    let id = identityBytes(UInt32(index + 1))
    scratch.storeBytes(of: id.byteSwapped, toByteOffset: 120, as: UInt64.self)  // EUI64
  }

  /// Figure 249: EUI-64.
  private func describeIdentity(_ namespace: UInt32) {
    put8(1, at: 0)
    put8(8, at: 1)
    scratch.storeBytes(of: identityBytes(namespace).byteSwapped, toByteOffset: 4, as: UInt64.self)
  }

  /// 52:54:00 is for local use; the serial number keeps two devices apart (FNV-1a).
  private func identityBytes(_ namespace: UInt32) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in options.serial.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return 0x5254_00 << 40 | (hash & 0xFFFF_FFFF) << 8 | UInt64(namespace & 0xFF)
  }

  private func identity(_ namespace: UInt32, digits: Int) -> String {
    let text = String(identityBytes(namespace), radix: 16)
    return String(text.suffix(digits))
  }

  private func lie(aboutController: Bool) {
    guard !armed.isEmpty else { return }
    for index in armed.indices {
      guard case .identify(let lie) = armed[index].rule.kind, lie.isAboutController == aboutController,
        armed[index].fires(&generator)
      else { continue }
      switch lie {
      case .blocks(let blocks):
        put64(blocks, at: 0)
        put64(blocks, at: 8)
      case .blockShift(let shift): put8(shift, at: 130)
      case .transferShift(let shift): put8(shift, at: 77)
      case .namespaces(let count): put32(count, at: 516)
      case .format(let format): put8(format, at: 26)
      case .entrySizes(let sizes):
        put8(sizes, at: 512)
        put8(sizes, at: 513)
      }
    }
  }

  private func put8(_ value: UInt8, at offset: Int) {
    scratch.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
  }
  private func put16(_ value: UInt16, at offset: Int) {
    scratch.storeBytes(of: value, toByteOffset: offset, as: UInt16.self)
  }
  private func put32(_ value: UInt32, at offset: Int) {
    scratch.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
  }
  private func put64(_ value: UInt64, at offset: Int) {
    scratch.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
  }
}
