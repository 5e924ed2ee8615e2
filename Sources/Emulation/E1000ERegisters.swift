import Protocol

/// Offsets of the registers in BAR 0 that mean something here. Sections are those of the Intel 82574 GbE Controller Family
/// Datasheet, revision 3.4, chapter 10: the summary is table 10-3.
enum E1000ERegister {
  // 10.2.2, general
  static let ctrl = 0x00000
  static let status = 0x00008
  static let eecd = 0x00010
  static let eerd = 0x00014
  static let ctrlExt = 0x00018
  static let mdic = 0x00020
  static let vet = 0x00038
  static let extcnfCtrl = 0x00F00

  // 10.2.4, interrupts
  static let icr = 0x000C0
  static let ics = 0x000C8
  static let ims = 0x000D0
  static let imc = 0x000D8
  static let eiac = 0x000DC
  static let iam = 0x000E0
  static let ivar = 0x000E4
  /// One for each of the five vectors.
  static let eitr = 0x000E8

  // 10.2.5, receive
  static let rctl = 0x00100
  static let rdbal = 0x02800
  static let rdbah = 0x02804
  static let rdlen = 0x02808
  static let rdh = 0x02810
  static let rdt = 0x02818
  static let rxcsum = 0x05000
  static let rfctl = 0x05008
  /// 128 words.
  static let mta = 0x05200
  /// 16 pairs of RAL and RAH.
  static let ral = 0x05400
  static let rah = 0x05404
  /// 128 words.
  static let vfta = 0x05600

  // 10.2.6, transmit
  static let tctl = 0x00400
  static let tdbal = 0x03800
  static let tdbah = 0x03804
  static let tdlen = 0x03808
  static let tdh = 0x03810
  static let tdt = 0x03818

  /// Registers that the controller accesses itself (``RegisterTrap``): all below 4 KiB, since reading, writing or both do
  /// something to most of them, and the statistics, which reading clears. The others are memory: rings, filters.
  static let control = 0x00000..<0x01000
  static let statistics = 0x04000..<0x04200
}

/// CTRL (10.2.2.1).
enum E1000EControl {
  /// GIO master disable.
  static let masterDisable: UInt32 = 1 << 2
  /// SLU, set link up.
  static let setLinkUp: UInt32 = 1 << 6
  static let reset: UInt32 = 1 << 26
  /// After a reset: SPEED is 1000 Mb/s.
  static let initial: UInt32 = 2 << 8
}

/// STATUS (10.2.2.2).
enum E1000EStatus {
  static let fullDuplex: UInt32 = 1 << 0
  static let linkUp: UInt32 = 1 << 1
  static let speed1000: UInt32 = 2 << 6
  /// PHYRA, the PHY was reset.
  static let phyReset: UInt32 = 1 << 10
  /// GIO master enable status.
  static let masterEnable: UInt32 = 1 << 19
}

/// EECD (10.2.2.3): there is an NVM, and it was read after the reset.
enum E1000ENVMControl { static let initial: UInt32 = 1 << 8 | 1 << 9 }

/// EERD (10.2.2.4): start, done; the word's number in bits 15:2, its value in bits 31:16.
enum E1000ENVMRead {
  static let start: UInt32 = 1 << 0
  static let done: UInt32 = 1 << 1
}

/// CTRL_EXT (10.2.2.5).
enum E1000EExtendedControl {
  /// EIAME: a message masks the causes that it clears.
  static let messageMasks: UInt32 = 1 << 24
  /// IAME: an access to ICR masks the causes in IAM.
  static let accessMasks: UInt32 = 1 << 27
}

/// MDIC (10.2.2.7): data 15:0, register 20:16, PHY 25:21, operation 27:26.
enum E1000EPHYAccess {
  static let ready: UInt32 = 1 << 28
  static let interrupt: UInt32 = 1 << 29
  static let error: UInt32 = 1 << 30
}

/// Causes in ICR, ICS, IMS, IMC, EIAC and IAM (10.2.4.1).
enum E1000ECause {
  static let transmitWritten: UInt32 = 1 << 0
  static let transmitEmpty: UInt32 = 1 << 1
  static let linkChange: UInt32 = 1 << 2
  static let receiveOverrun: UInt32 = 1 << 6
  static let receiveTimer: UInt32 = 1 << 7
  static let phyAccess: UInt32 = 1 << 9
  static let receiveQueue0: UInt32 = 1 << 20
  static let receiveQueue1: UInt32 = 1 << 21
  static let transmitQueue0: UInt32 = 1 << 22
  static let transmitQueue1: UInt32 = 1 << 23
  static let other: UInt32 = 1 << 24
  static let asserted: UInt32 = 1 << 31
  /// What raises ``other``: LSC, RXO, MDAC, SRPD, ACK, MNG.
  static let others: UInt32 = linkChange | receiveOverrun | phyAccess | 1 << 16 | 1 << 17 | 1 << 18

  /// MSI-X vectors.
  static let vectorCount = 5
  /// The causes that have a vector, with their place in IVAR (10.2.4.7): three bits, then the one that says it is valid.
  static let routed: [(cause: UInt32, shift: UInt32)] = [
    (receiveQueue0, 0), (receiveQueue1, 4), (transmitQueue0, 8), (transmitQueue1, 12), (other, 16),
  ]
}

/// RCTL (10.2.5.1).
struct E1000EReceiveControl {
  var rawValue: UInt32
  var isEnabled: Bool { rawValue >> 1 & 1 == 1 }
  var takesAllUnicast: Bool { rawValue >> 3 & 1 == 1 }
  var takesAllMulticast: Bool { rawValue >> 4 & 1 == 1 }
  var takesLongPackets: Bool { rawValue >> 5 & 1 == 1 }
  /// MO: which twelve bits of a group address select a bit of MTA.
  var multicastOffset: Int { Int(rawValue >> 12 & 3) }
  var takesBroadcast: Bool { rawValue >> 15 & 1 == 1 }
  var filtersTags: Bool { rawValue >> 18 & 1 == 1 }
  var stripsCheckSequence: Bool { rawValue >> 26 & 1 == 1 }
  /// Bytes: BSIZE, bits 17:16, times 16 with BSEX, bit 25, where BSIZE 0 is reserved.
  var bufferSize: Int {
    let size = Int(rawValue >> 16 & 3)
    return rawValue >> 25 & 1 == 0 || size == 0 ? 2048 >> size : 32768 >> size
  }
}

/// TCTL (10.2.6.1).
struct E1000ETransmitControl {
  var rawValue: UInt32
  var isEnabled: Bool { rawValue >> 1 & 1 == 1 }
  /// PSP: frames are padded to 64 bytes.
  var padsShort: Bool { rawValue >> 3 & 1 == 1 }
}

/// RXCSUM (10.2.5.16).
struct E1000EReceiveChecksum {
  var rawValue: UInt32
  /// PCSS: where the packet checksum starts.
  var start: Int { Int(rawValue & 0xFF) }
  var checksIP: Bool { rawValue >> 8 & 1 == 1 }
  var checksTransport: Bool { rawValue >> 9 & 1 == 1 }
  /// PCSD: no packet checksum.
  var isPacketChecksumOff: Bool { rawValue >> 13 & 1 == 1 }
}

/// RFCTL (10.2.5.17), EXSTEN: receive descriptors are written back in the extended format.
enum E1000EReceiveFilter { static let extendedStatus: UInt32 = 1 << 15 }
