import DriverKit

/// The PHY, through MDIC: datasheet 8.
extension Adapter {
  /// MDIO is shared with the firmware: one of the two owns it.
  func acquirePHY(_ device: Device) throws(DriverFailure) {
    do throws(DriverFailure) {
      try device.wait(step: "ownership of MDIO", deadline: 100_000_000) { () throws(DriverFailure) in
        change(AdapterRegister.extendedConfiguration, set: ExtendedConfiguration.softwareOwnsMDIO)
        _ = try status()
        return bar.read(AdapterRegister.extendedConfiguration) & ExtendedConfiguration.softwareOwnsMDIO != 0
      }
    } catch  where error.code == .timeout {
      // Without firmware there may be nobody who grants it.
      Log.warning(error.detail)
    } catch { throw error }
  }

  func releasePHY() {
    change(AdapterRegister.extendedConfiguration, clear: ExtendedConfiguration.softwareOwnsMDIO)
  }

  private func access(_ command: UInt32, _ register: UInt32, _ device: Device) throws(DriverFailure) -> UInt16 {
    bar.write(AdapterRegister.phyAccess, command | register << PHYAccess.registerShift | PHYAccess.phy)
    var value: UInt32 = 0
    try device.wait(step: "access to PHY register \(register)", deadline: 50_000_000) { () throws(DriverFailure) in
      value = bar.read(AdapterRegister.phyAccess)
      guard value != .max else { throw DriverFailure(.deviceGone, "MDIC reads as all ones") }
      return value & PHYAccess.ready != 0
    }
    guard value & PHYAccess.error == 0 else {
      throw DriverFailure(.deviceError, "PHY register \(register) cannot be accessed", deviceStatus: value)
    }
    return UInt16(truncatingIfNeeded: value)
  }

  func readPHY(_ register: UInt32, _ device: Device) throws(DriverFailure) -> UInt16 {
    try access(PHYAccess.read, register, device)
  }

  func writePHY(_ register: UInt32, _ value: UInt16, _ device: Device) throws(DriverFailure) {
    _ = try access(PHYAccess.write | UInt32(value), register, device)
  }

  /// Wakes the PHY and lets it negotiate, unless it does already.
  /// - Returns: its identifier, registers 2 and 3.
  func startPHY(_ device: Device) throws(DriverFailure) -> UInt32 {
    try acquirePHY(device)
    defer { releasePHY() }
    let identifier =
      UInt32(try readPHY(PHYRegister.identifier1, device)) << 16
      | UInt32(try readPHY(PHYRegister.identifier2, device))
    let control = try readPHY(PHYRegister.control, device)
    if control & PHYRegister.powerDown != 0 || control & PHYRegister.negotiation == 0 {
      try writePHY(
        PHYRegister.control,
        control & ~PHYRegister.powerDown | PHYRegister.negotiation | PHYRegister.restartNegotiation, device)
    }
    return identifier
  }
}
