import DriverKit

/// Registers in BAR 0. Sections are those of the Intel 82574 GbE Controller Family Datasheet, revision 3.4: general
/// registers 10.2.2, interrupts 10.2.4, receive 10.2.5, transmit 10.2.6, statistics 10.2.7.
public enum AdapterRegister {
  // General, 10.2.2

  /// CTRL, device control.
  public static let control = Register<UInt32>(0x0000)
  /// STATUS, device status.
  public static let status = Register<UInt32>(0x0008)
  /// EECD, NVM control.
  public static let nvmControl = Register<UInt32>(0x0010)
  /// EERD, NVM read.
  public static let nvmRead = Register<UInt32>(0x0014)
  /// CTRL_EXT, extended device control.
  public static let extendedControl = Register<UInt32>(0x0018)
  /// MDIC, access to the PHY's registers.
  public static let phyAccess = Register<UInt32>(0x0020)
  /// FCAL, FCAH, FCT: address and type of pause frames.
  public static let flowControlAddressLow = Register<UInt32>(0x0028)
  public static let flowControlAddressHigh = Register<UInt32>(0x002C)
  public static let flowControlType = Register<UInt32>(0x0030)
  /// EXTCNF_CTRL, extended configuration: who may use MDIO.
  public static let extendedConfiguration = Register<UInt32>(0x0F00)
  /// GCR and GCR2, control of PCIe.
  public static let pcieControl = Register<UInt32>(0x5B00)
  public static let pcieControl2 = Register<UInt32>(0x5B64)

  // Interrupts, 10.2.4

  /// ICR, causes. Reading clears them; a 1 that is written clears that one.
  public static let interruptCause = Register<UInt32>(0x00C0)
  /// ICS, sets causes.
  public static let interruptCauseSet = Register<UInt32>(0x00C8)
  /// IMS, unmasks causes.
  public static let interruptMaskSet = Register<UInt32>(0x00D0)
  /// IMC, masks causes.
  public static let interruptMaskClear = Register<UInt32>(0x00D8)
  /// EIAC, causes that the MSI-X message itself clears.
  public static let interruptAutoClear = Register<UInt32>(0x00DC)
  /// IAM, causes that are masked when ICR is read or written.
  public static let interruptAutoMask = Register<UInt32>(0x00E0)
  /// IVAR, which cause goes to which MSI-X vector.
  public static let interruptVectors = Register<UInt32>(0x00E4)
  /// EITR, throttling of MSI-X vector `vector`, 0 to 4.
  public static func throttle(_ vector: Int) -> Register<UInt32> { Register(0x00E8 + 4 * vector) }

  // Receive, 10.2.5

  /// RCTL, receive control.
  public static let receiveControl = Register<UInt32>(0x0100)
  /// FCRTL, FCRTH: fill levels of the packet buffer at which pause frames are sent.
  public static let flowControlLow = Register<UInt32>(0x2160)
  public static let flowControlHigh = Register<UInt32>(0x2168)
  /// RDBAL, RDBAH, RDLEN, RDH, RDT of queue 0.
  public static let receiveBaseLow = Register<UInt32>(0x2800)
  public static let receiveBaseHigh = Register<UInt32>(0x2804)
  public static let receiveLength = Register<UInt32>(0x2808)
  public static let receiveHead = Register<UInt32>(0x2810)
  public static let receiveTail = Register<UInt32>(0x2818)
  /// RDTR, RADV: delays of the receive interrupt; not used, EITR moderates.
  public static let receiveDelay = Register<UInt32>(0x2820)
  /// RXDCTL of queue 0, thresholds of descriptor fetch and write-back.
  public static let receiveDescriptorControl = Register<UInt32>(0x2828)
  public static let receiveAbsoluteDelay = Register<UInt32>(0x282C)
  /// RXCSUM, receive checksum control.
  public static let receiveChecksum = Register<UInt32>(0x5000)
  /// RFCTL, receive filter control.
  public static let receiveFilter = Register<UInt32>(0x5008)
  /// MTA, multicast table, 128 words.
  public static func multicastTable(_ index: Int) -> Register<UInt32> { Register(0x5200 + 4 * index) }
  /// RAL, RAH: exact addresses, 16 of them.
  public static func receiveAddressLow(_ index: Int) -> Register<UInt32> { Register(0x5400 + 8 * index) }
  public static func receiveAddressHigh(_ index: Int) -> Register<UInt32> { Register(0x5404 + 8 * index) }
  /// MRQC, multiple receive queues; 0 is one queue.
  public static let multipleQueues = Register<UInt32>(0x5818)

  // Transmit, 10.2.6

  /// TCTL, transmit control.
  public static let transmitControl = Register<UInt32>(0x0400)
  /// TIPG, inter-packet gap.
  public static let interPacketGap = Register<UInt32>(0x0410)
  /// TDBAL, TDBAH, TDLEN, TDH, TDT of queue 0.
  public static let transmitBaseLow = Register<UInt32>(0x3800)
  public static let transmitBaseHigh = Register<UInt32>(0x3804)
  public static let transmitLength = Register<UInt32>(0x3808)
  public static let transmitHead = Register<UInt32>(0x3810)
  public static let transmitTail = Register<UInt32>(0x3818)
  /// TIDV, TADV: delays of the transmit interrupt; not used, EITR moderates.
  public static let transmitDelay = Register<UInt32>(0x3820)
  /// TXDCTL of queue 0, thresholds of descriptor fetch and write-back.
  public static let transmitDescriptorControl = Register<UInt32>(0x3828)
  public static let transmitAbsoluteDelay = Register<UInt32>(0x382C)
  /// TARC of queue 0, arbitration between the two transmit queues.
  public static let transmitArbitration = Register<UInt32>(0x3840)

  /// Words of the multicast table.
  public static let multicastWords = 128
  /// Exact addresses.
  public static let receiveAddresses = 16
}

/// Statistics, 10.2.7: each is cleared by reading it, and stays at its largest value when it gets there.
public enum StatisticsRegister {
  public static let checksumErrors = Register<UInt32>(0x4000)
  public static let alignmentErrors = Register<UInt32>(0x4004)
  public static let receiveErrors = Register<UInt32>(0x400C)
  public static let missedFrames = Register<UInt32>(0x4010)
  public static let lateCollisions = Register<UInt32>(0x4020)
  public static let collisions = Register<UInt32>(0x4028)
  public static let deferred = Register<UInt32>(0x4030)
  public static let carrierLost = Register<UInt32>(0x4034)
  public static let lengthErrors = Register<UInt32>(0x4040)
  public static let pauseReceived = Register<UInt32>(0x4050)
  public static let pauseSent = Register<UInt32>(0x4054)
  public static let receivedFrames = Register<UInt32>(0x4074)
  public static let receivedBroadcast = Register<UInt32>(0x4078)
  public static let receivedMulticast = Register<UInt32>(0x407C)
  public static let sentFrames = Register<UInt32>(0x4080)
  /// GORCL and GORCH, GOTCL and GOTCH: two halves, the lower to be read first; reading the upper clears both.
  public static let receivedOctets = Register<UInt32>(0x4088)
  public static let sentOctets = Register<UInt32>(0x4090)
  public static let noBuffer = Register<UInt32>(0x40A0)
  public static let undersize = Register<UInt32>(0x40A4)
  public static let fragments = Register<UInt32>(0x40A8)
  public static let oversize = Register<UInt32>(0x40AC)
  public static let jabber = Register<UInt32>(0x40B0)
  public static let sentMulticast = Register<UInt32>(0x40F0)
  public static let sentBroadcast = Register<UInt32>(0x40F4)
  public static let segmented = Register<UInt32>(0x40F8)
}
