import Platform

/// Causes and their messages (82574 datasheet 7.4 and 10.2.4). Only MSI-X is there.
extension E1000EController {
  /// Raises causes and sends the messages of those that are not masked.
  func raise(_ causes: UInt32) {
    var causes = causes
    if causes & E1000ECause.others != 0 { causes |= E1000ECause.other }
    setWord(E1000ERegister.icr, word(E1000ERegister.icr) | causes)
    deliver()
  }

  /// Sends a message for each cause that is set, unmasked and has a vector; once, until the cause is cleared. EIAC and
  /// CTRL_EXT.EIAME clear and mask it by the message itself (7.4.3, 10.2.4.5).
  func deliver() {
    let pending = word(E1000ERegister.icr) & word(E1000ERegister.ims) & ~sentCauses
    guard pending != 0 else { return }
    let routes = word(E1000ERegister.ivar)
    for (cause, shift) in E1000ECause.routed where pending & cause != 0 {
      let route = routes >> shift & 0xF
      guard route & 8 != 0, route & 7 < UInt32(vectorCount) else { continue }
      let vector = Int(route & 7)
      guard !isThrottled(vector) else { continue }
      sentCauses |= cause
      let cleared = word(E1000ERegister.eiac) & cause
      clearCauses(cleared)
      if word(E1000ERegister.ctrlExt) & E1000EExtendedControl.messageMasks != 0 {
        setWord(E1000ERegister.ims, word(E1000ERegister.ims) & ~cleared)
      }
      send(vector)
    }
  }

  private func send(_ vector: Int) {
    guard !losesInterrupt else { return }
    signal(vector)
    if word(E1000ERegister.eitr + 4 * vector) & 0xFFFF != 0 { lastMessages[vector] = monotonicNow() }
  }

  /// Whether EITR forbids a message now: the least time between two, in units of 256 ns (10.2.4.8). If so, it is looked at
  /// again when that is over.
  private func isThrottled(_ vector: Int) -> Bool {
    let interval = Nanoseconds(word(E1000ERegister.eitr + 4 * vector) & 0xFFFF) * 256
    guard interval > 0 else { return false }
    if throttled[vector] { return true }
    let left = lastMessages[vector] + interval - monotonicNow()
    guard left > 0 else { return false }
    throttled[vector] = true
    later(left) { controller in
      let controller = unsafeDowncast(controller, to: E1000EController.self)
      controller.throttled[vector] = false
      controller.deliver()
    }
    return true
  }

  private func clearCauses(_ causes: UInt32) {
    setWord(E1000ERegister.icr, word(E1000ERegister.icr) & ~causes)
    sentCauses &= ~causes
  }

  /// Reading ICR clears it, if no cause is unmasked or one of those that are is set (10.2.4.1); INT_ASSERTED says the
  /// latter. Otherwise it stays.
  func readCauses() -> UInt32 {
    let causes = word(E1000ERegister.icr)
    let mask = word(E1000ERegister.ims)
    let isAsserted = causes & mask != 0
    if isAsserted || mask == 0 { clearCauses(.max) }
    if isAsserted { maskAutomatically() }
    return causes | (isAsserted ? E1000ECause.asserted : 0)
  }

  func writeCauses(_ causes: UInt32) {
    clearCauses(causes)
    maskAutomatically()
  }

  /// IAM (10.2.4.6).
  private func maskAutomatically() {
    guard word(E1000ERegister.ctrlExt) & E1000EExtendedControl.accessMasks != 0 else { return }
    setWord(E1000ERegister.ims, word(E1000ERegister.ims) & ~word(E1000ERegister.iam))
  }
}
