import DriverKit
import Testing

@testable import E1000E

/// Every offset, against the datasheet's register summary (table in 10.1).
@Suite struct RegisterTests {
  typealias R = AdapterRegister
  typealias S = StatisticsRegister

  static let table: [(String, Register<UInt32>, Int)] = [
    ("CTRL", R.control, 0x00000), ("STATUS", R.status, 0x00008), ("EERD", R.nvmRead, 0x00014),
    ("EECD", R.nvmControl, 0x00010),
    ("CTRL_EXT", R.extendedControl, 0x00018), ("MDIC", R.phyAccess, 0x00020),
    ("FCAL", R.flowControlAddressLow, 0x00028), ("FCAH", R.flowControlAddressHigh, 0x0002C),
    ("FCT", R.flowControlType, 0x00030), ("EXTCNF_CTRL", R.extendedConfiguration, 0x00F00),
    ("ICR", R.interruptCause, 0x000C0), ("ICS", R.interruptCauseSet, 0x000C8), ("IMS", R.interruptMaskSet, 0x000D0),
    ("IMC", R.interruptMaskClear, 0x000D8), ("EIAC", R.interruptAutoClear, 0x000DC),
    ("IAM", R.interruptAutoMask, 0x000E0), ("IVAR", R.interruptVectors, 0x000E4), ("EITR0", R.throttle(0), 0x000E8),
    ("EITR2", R.throttle(2), 0x000F0), ("EITR4", R.throttle(4), 0x000F8), ("RCTL", R.receiveControl, 0x00100),
    ("FCRTL", R.flowControlLow, 0x02160), ("FCRTH", R.flowControlHigh, 0x02168), ("RDBAL0", R.receiveBaseLow, 0x02800),
    ("RDBAH0", R.receiveBaseHigh, 0x02804), ("RDLEN0", R.receiveLength, 0x02808), ("RDH0", R.receiveHead, 0x02810),
    ("RDT0", R.receiveTail, 0x02818), ("RDTR", R.receiveDelay, 0x02820),
    ("RXDCTL", R.receiveDescriptorControl, 0x02828), ("RADV", R.receiveAbsoluteDelay, 0x0282C),
    ("RXCSUM", R.receiveChecksum, 0x05000), ("RFCTL", R.receiveFilter, 0x05008), ("MTA0", R.multicastTable(0), 0x05200),
    ("MTA127", R.multicastTable(127), 0x053FC), ("RAL0", R.receiveAddressLow(0), 0x05400),
    ("RAH0", R.receiveAddressHigh(0), 0x05404), ("RAL15", R.receiveAddressLow(15), 0x05478),
    ("RAH15", R.receiveAddressHigh(15), 0x0547C), ("MRQC", R.multipleQueues, 0x05818),
    ("TCTL", R.transmitControl, 0x00400), ("TIPG", R.interPacketGap, 0x00410), ("TDBAL0", R.transmitBaseLow, 0x03800),
    ("TDBAH0", R.transmitBaseHigh, 0x03804), ("TDLEN0", R.transmitLength, 0x03808), ("TDH0", R.transmitHead, 0x03810),
    ("TDT0", R.transmitTail, 0x03818), ("TIDV", R.transmitDelay, 0x03820),
    ("TXDCTL", R.transmitDescriptorControl, 0x03828), ("TADV", R.transmitAbsoluteDelay, 0x0382C),
    ("TARC0", R.transmitArbitration, 0x03840), ("GCR", R.pcieControl, 0x05B00), ("GCR2", R.pcieControl2, 0x05B64),
    ("CRCERRS", S.checksumErrors, 0x04000),
    ("ALGNERRC", S.alignmentErrors, 0x04004), ("RXERRC", S.receiveErrors, 0x0400C), ("MPC", S.missedFrames, 0x04010),
    ("LATECOL", S.lateCollisions, 0x04020), ("COLC", S.collisions, 0x04028), ("DC", S.deferred, 0x04030),
    ("TNCRS", S.carrierLost, 0x04034), ("RLEC", S.lengthErrors, 0x04040), ("XOFFRXC", S.pauseReceived, 0x04050),
    ("XOFFTXC", S.pauseSent, 0x04054), ("GPRC", S.receivedFrames, 0x04074), ("BPRC", S.receivedBroadcast, 0x04078),
    ("MPRC", S.receivedMulticast, 0x0407C), ("GPTC", S.sentFrames, 0x04080), ("GORCL", S.receivedOctets, 0x04088),
    ("GOTCL", S.sentOctets, 0x04090), ("RNBC", S.noBuffer, 0x040A0), ("RUC", S.undersize, 0x040A4),
    ("RFC", S.fragments, 0x040A8), ("ROC", S.oversize, 0x040AC), ("RJC", S.jabber, 0x040B0),
    ("MPTC", S.sentMulticast, 0x040F0), ("BPTC", S.sentBroadcast, 0x040F4), ("TSCTC", S.segmented, 0x040F8),
  ]

  @Test(arguments: table.indices) func isWhereTheDatasheetSays(index: Int) {
    let (name, register, offset) = Self.table[index]
    #expect(register.offset == offset, "\(name)")
  }

  @Test func noTwoShareAnOffset() { #expect(Set(Self.table.map(\.1.offset)).count == Self.table.count) }

  @Test func readsTheStatus() {
    // Link up, full duplex, 1000 Mbit/s (10 and 11 both mean that), paused, master.
    #expect(AdapterStatus(rawValue: 0x83).link == NetworkLink(isUp: true, speed: 1000, isFullDuplex: true))
    #expect(AdapterStatus(rawValue: 0xC3).link.speed == 1000)
    #expect(AdapterStatus(rawValue: 0x42).link == NetworkLink(isUp: true, speed: 100, isFullDuplex: false))
    #expect(AdapterStatus(rawValue: 0x02).link.speed == 10)
    #expect(AdapterStatus(rawValue: 0x81).link == .down)
    #expect(AdapterStatus(rawValue: 0x10).isPaused && !AdapterStatus(rawValue: 0xEF).isPaused)
    #expect(AdapterStatus(rawValue: 0x80000).isMaster && AdapterStatus(rawValue: 0xFFFF_FFFF).isGone)
  }

  @Test func assignsVectors() {
    #expect(InterruptVectors.value(receive: 0, transmit: 1, other: 2) == 0x000A_0908)
    #expect(InterruptVectors.value(receive: 0, transmit: 0, other: 0) == 0x0008_0808)
  }

  @Test func convertsAddresses() {
    let address = HardwareAddress(0x52, 0x54, 0x00, 0x12, 0x34, 0x56)
    #expect(Adapter.registers(of: address) == (0x1200_5452, 0x8000_5634))
    #expect(Adapter.address(low: 0x1200_5452, high: 0x8000_5634) == address)
  }

  @Test func hashesMulticast() {
    #expect(Adapter.multicastBit(of: HardwareAddress(0x01, 0x00, 0x5E, 0x00, 0x00, 0x01)) == 0x010)
    #expect(Adapter.multicastBit(of: HardwareAddress(0x33, 0x33, 0xFF, 0x12, 0x34, 0x56)) == 0x563)
    #expect(Adapter.multicastBit(of: HardwareAddress(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)) == 0xFFF)
  }
}
