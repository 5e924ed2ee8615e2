/// Which frames are taken (82574 datasheet 7.1.1).
struct E1000EFilter {
  let registers: RegisterMemory
  let control: E1000EReceiveControl

  /// Nil: the frame is not taken. False: it is, but not by an exact address (PIF).
  func passes(_ frame: E1000EFrame) -> Bool? {
    if control.filtersTags, let tag = frame.tag,
      registers.load(E1000ERegister.vfta + tag >> 5 * 4) >> UInt32(tag & 31) & 1 == 0
    {
      return nil
    }
    if frame.isBroadcast { return control.takesBroadcast || control.takesAllMulticast ? true : nil }
    if matchesExactly(frame) { return true }
    if frame.isMulticast {
      return control.takesAllMulticast || matchesHash(frame) ? false : nil
    }
    return control.takesAllUnicast ? false : nil
  }

  /// RAL and RAH hold the octets in the order of the wire, from the lowest bits (10.2.5.22, 10.2.5.23).
  private func matchesExactly(_ frame: E1000EFrame) -> Bool {
    let low = frame.bytes.loadUnaligned(as: UInt32.self).littleEndian
    let high = UInt32(frame.bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self).littleEndian)
    for index in 0..<16 {
      let valid = registers.load(E1000ERegister.rah + 8 * index)
      // ASEL, bits 17:16: 0 is the destination.
      guard valid >> 31 == 1, valid >> 16 & 3 == 0 else { continue }
      if valid & 0xFFFF == high, registers.load(E1000ERegister.ral + 8 * index) == low { return true }
    }
    return false
  }

  /// Twelve bits of the address, bits 47:36 for RCTL.MO 0, 46:35, 45:34, 43:32 for 1, 2, 3; the octet that is last on the
  /// wire is 47:40 (10.2.5.21).
  private func matchesHash(_ frame: E1000EFrame) -> Bool {
    let upper = Int(frame.get8(5)) << 8 | Int(frame.get8(4))
    let bit = upper >> [4, 3, 2, 0][control.multicastOffset] & 0xFFF
    return registers.load(E1000ERegister.mta + (bit >> 5) * 4) >> UInt32(bit & 31) & 1 == 1
  }
}
