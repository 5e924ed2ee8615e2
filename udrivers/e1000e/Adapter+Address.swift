import DriverKit

/// The controller's own address, and the filter that decides which frames it takes.
extension Adapter {
  /// Words of the NVM over which its checksum goes, and their sum: datasheet 6.1.2.
  static let nvmWords: UInt32 = 64
  static let nvmChecksum: UInt16 = 0xBABA

  /// One 16-bit word of the NVM.
  func readNVM(_ word: UInt32, _ device: Device) throws(DriverFailure) -> UInt16 {
    bar.write(AdapterRegister.nvmRead, word << NVMRead.addressShift | NVMRead.start)
    var value: UInt32 = 0
    try device.wait(step: "read of NVM word \(word)", deadline: 100_000_000) { () throws(DriverFailure) in
      value = bar.read(AdapterRegister.nvmRead)
      guard value != .max || bar.read(AdapterRegister.status) != .max else {
        throw DriverFailure(.deviceGone, "the controller is gone while its NVM is read")
      }
      return value & NVMRead.done != 0
    }
    return UInt16(value >> NVMRead.dataShift)
  }

  /// Whether the NVM is intact.
  func checkNVM(_ device: Device) throws(DriverFailure) -> Bool {
    var sum: UInt16 = 0
    for word in 0..<Self.nvmWords { sum &+= try readNVM(word, device) }
    return sum == Self.nvmChecksum
  }

  /// The address that the controller loaded from its NVM when it was reset (RAL0, RAH0), or else what the NVM's first three
  /// words say.
  /// - Throws: ``FailureCode/unsupported`` when neither is an address that a port may have.
  func permanentAddress(_ device: Device) throws(DriverFailure) -> HardwareAddress {
    let high = bar.read(AdapterRegister.receiveAddressHigh(0))
    let loaded = Self.address(low: bar.read(AdapterRegister.receiveAddressLow(0)), high: high)
    if high & ReceiveAddress.valid != 0, loaded.isUsable { return loaded }
    let words = (try readNVM(0, device), try readNVM(1, device), try readNVM(2, device))
    let stored = Self.address(low: UInt32(words.1) << 16 | UInt32(words.0), high: UInt32(words.2))
    guard stored.isUsable else {
      throw DriverFailure(.unsupported, "neither the controller (\(loaded)) nor its NVM (\(stored)) has an address")
    }
    return stored
  }

  /// RAL and RAH hold the octets in the order of the wire, from the lowest bits.
  static func address(low: UInt32, high: UInt32) -> HardwareAddress {
    let octets = UInt64(high & 0xFFFF) << 32 | UInt64(low)
    return HardwareAddress(bits: octets.byteSwapped >> 16)
  }

  static func registers(of address: HardwareAddress) -> (low: UInt32, high: UInt32) {
    let octets = (address.bits << 16).byteSwapped
    return (UInt32(truncatingIfNeeded: octets), UInt32(truncatingIfNeeded: octets >> 32) | ReceiveAddress.valid)
  }

  // MARK: Filter, datasheet 7.1.1

  /// Takes frames for `address` and no other unicast address; nil: for none.
  func setAddress(_ address: HardwareAddress?) {
    for index in 1..<AdapterRegister.receiveAddresses {
      bar.write(AdapterRegister.receiveAddressHigh(index), 0)
      bar.write(AdapterRegister.receiveAddressLow(index), 0)
    }
    // Not valid while it is half written.
    bar.write(AdapterRegister.receiveAddressHigh(0), 0)
    guard let address else { return bar.write(AdapterRegister.receiveAddressLow(0), 0) }
    let value = Self.registers(of: address)
    bar.write(AdapterRegister.receiveAddressLow(0), value.low)
    bar.write(AdapterRegister.receiveAddressHigh(0), value.high)
  }

  /// Bit of the multicast table for `address`: its last twelve bits on the wire, bits 47:36 as the datasheet counts.
  static func multicastBit(of address: HardwareAddress) -> Int { Int(address[5]) << 4 | Int(address[4]) >> 4 }

  func setMulticast(_ addresses: [HardwareAddress]) {
    var table = [UInt32](repeating: 0, count: AdapterRegister.multicastWords)
    for address in addresses {
      let bit = Self.multicastBit(of: address)
      table[bit >> 5] |= 1 << UInt32(bit & 31)
    }
    for index in 0..<table.count { bar.write(AdapterRegister.multicastTable(index), table[index]) }
  }
}
