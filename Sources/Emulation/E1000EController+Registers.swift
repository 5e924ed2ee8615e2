import CBulkhead
import Platform

/// Reading and writing the registers that do something (82574 datasheet 10.2).
extension E1000EController {
  func read(_ offset: Int) -> UInt32 {
    switch offset {
    case E1000ERegister.status: return status
    case E1000ERegister.eecd: return E1000ENVMControl.initial
    case E1000ERegister.icr: return readCauses()
    // Both show the mask (10.2.4.4); what is to be cleared cannot be read back.
    case E1000ERegister.ims: return word(E1000ERegister.ims)
    case E1000ERegister.ics, E1000ERegister.imc: return 0
    case _ where E1000ERegister.statistics.contains(offset): return statistics.read(offset)
    case _ where E1000ERegister.control.contains(offset) && offset & 3 == 0: return word(offset)
    default: return 0
    }
  }

  func write(_ offset: Int, _ value: UInt32) {
    switch offset {
    case E1000ERegister.ctrl: writeControl(value)
    case E1000ERegister.status, E1000ERegister.eecd: break
    case E1000ERegister.eerd: readNVM(value)
    case E1000ERegister.mdic: accessPHY(value)
    case E1000ERegister.icr: writeCauses(value)
    case E1000ERegister.ics: raise(value)
    case E1000ERegister.ims:
      setWord(offset, word(offset) | value)
      deliver()
    case E1000ERegister.imc: setWord(E1000ERegister.ims, word(E1000ERegister.ims) & ~value)
    case E1000ERegister.rctl:
      let wasEnabled = receiveControl.isEnabled
      setWord(offset, value)
      if receiveControl.isEnabled, !wasEnabled {
        receiveRing = E1000ERing(registers, base: E1000ERegister.rdbal)
      }
    case E1000ERegister.tctl:
      let wasEnabled = transmitControl.isEnabled
      setWord(offset, value)
      if transmitControl.isEnabled, !wasEnabled {
        transmitRing = E1000ERing(registers, base: E1000ERegister.tdbal)
        dropOutgoing()
      }
    case _ where E1000ERegister.control.contains(offset) && offset & 3 == 0: setWord(offset, value)
    default: break
    }
  }

  private func writeControl(_ value: UInt32) {
    if value & E1000EControl.reset != 0 {
      reset()
      isResetStuck = fires { $0 == .neverReady }
      if isResetStuck { setWord(E1000ERegister.ctrl, E1000EControl.initial | E1000EControl.reset) }
      return
    }
    guard !isResetStuck else { return }
    setWord(E1000ERegister.ctrl, value)
    updateLink()
  }

  private var status: UInt32 {
    let link = isLinkUp ? E1000EStatus.linkUp | E1000EStatus.speed1000 : 0
    return E1000EStatus.fullDuplex | E1000EStatus.phyReset | link | (isMaster ? E1000EStatus.masterEnable : 0)
  }

  // MARK: NVM and PHY

  /// EERD (10.2.2.4).
  private func readNVM(_ value: UInt32) {
    guard value & E1000ENVMRead.start != 0 else { return setWord(E1000ERegister.eerd, value) }
    let number = Int(value >> 2 & 0x3FFF)
    let found = E1000ENVM.word(number, address: permanentAddress)
    setWord(E1000ERegister.eerd, UInt32(found) << 16 | value & 0xFFFC | E1000ENVMRead.done)
  }

  /// MDIC (10.2.2.7). The PHY has address 1.
  private func accessPHY(_ value: UInt32) {
    let number = Int(value >> 16 & 31)
    var answer = value & 0x0FFF_0000 | E1000EPHYAccess.ready
    switch (value >> 21 & 31, value >> 26 & 3) {
    case (1, 1):
      if number == 0 {
        // Reset and restart of the negotiation end at once.
        phyControl = UInt16(truncatingIfNeeded: value) & ~(1 << 15 | 1 << 9)
        updateLink()
      }
      answer |= value & 0xFFFF
    case (1, 2): answer |= UInt32(E1000EPHY.register(number, control: phyControl, isUp: isCableConnected))
    default: answer |= E1000EPHYAccess.error
    }
    setWord(E1000ERegister.mdic, answer)
    if value & E1000EPHYAccess.interrupt != 0 { raise(E1000ECause.phyAccess) }
  }

  private var isCableConnected: Bool {
    wire.isUp && options.link && !isFlapping && phyControl & E1000EPHY.powerDown == 0
  }
}
