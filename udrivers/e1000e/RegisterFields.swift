import DriverKit

/// CTRL, datasheet 10.2.2.
enum Control {
  static let fullDuplex: UInt32 = 1 << 0
  /// GIO master disable: no new requests on PCIe.
  static let masterDisable: UInt32 = 1 << 2
  static let autoSpeedDetection: UInt32 = 1 << 5
  static let setLinkUp: UInt32 = 1 << 6
  static let forceSpeed: UInt32 = 1 << 11
  static let forceDuplex: UInt32 = 1 << 12
  static let reset: UInt32 = 1 << 26
  static let receiveFlowControl: UInt32 = 1 << 27
  static let transmitFlowControl: UInt32 = 1 << 28
  /// VME, taking VLAN tags out of frames.
  static let vlanMode: UInt32 = 1 << 30
  static let phyReset: UInt32 = 1 << 31
}

/// What Intel's drivers for Linux (e1000_82574 in 82571.c) and FreeBSD write into every real 82574 before it sends or
/// receives; no emulator needs it. The datasheet calls these bits reserved, or says no more than their names, and each
/// erratum's number is not known here: what is done is what those drivers do.
enum Workaround {
  /// GCR2 bit 0: completions on PCIe that fail or come late, above all with ASPM on. Without it frames stay unsent until the
  /// watchdog resets the controller.
  static let completions: UInt32 = 1 << 0
  /// GCR bit 22, of the same kind.
  static let link: UInt32 = 1 << 22
  /// TARC0: bit 26 is to be set, and 30:27 are to be 0.
  static let arbitration: UInt32 = 1 << 26
  static let noArbitration: UInt32 = 15 << 27
  /// CTRL: bit 29 is to be 0.
  static let noControl: UInt32 = 1 << 29
  /// CTRL_EXT: bit 22 is to be set, and 23 to be 0.
  static let extendedControl: UInt32 = 1 << 22
  static let noExtendedControl: UInt32 = 1 << 23
}

/// STATUS, datasheet 10.2.2.
struct AdapterStatus: Equatable {
  let rawValue: UInt32

  var isFullDuplex: Bool { rawValue & 1 != 0 }
  /// LU, bit 1.
  var isLinkUp: Bool { rawValue & 2 != 0 }
  /// TXOFF, bit 4: the link partner's pause frames stop transmission.
  var isPaused: Bool { rawValue >> 4 & 1 != 0 }
  /// SPEED, bits 7:6, in megabits a second.
  var speed: UInt32 {
    switch rawValue >> 6 & 3 {
    case 0: 10
    case 1: 100
    default: 1000
    }
  }
  /// GIO master enable status, bit 19: requests are under way or possible.
  var isMaster: Bool { rawValue >> 19 & 1 != 0 }
  /// What PCIe reads from a device that is not there.
  var isGone: Bool { rawValue == .max }

  var link: NetworkLink {
    isLinkUp ? NetworkLink(isUp: true, speed: speed, isFullDuplex: isFullDuplex) : .down
  }
}

/// CTRL_EXT, datasheet 10.2.2.
enum ExtendedControl {
  /// EIAME: an MSI-X message masks the causes that are in EIAC.
  static let messageMasks: UInt32 = 1 << 24
  /// IAME: ICR masks the causes in IAM.
  static let acknowledgeMasks: UInt32 = 1 << 27
  static let driverLoaded: UInt32 = 1 << 28
  /// PBA support: MSI-X pending bits are cleared as the specification says.
  static let clearsPending: UInt32 = 1 << 31
}

/// Causes in ICR, ICS, IMS, IMC and EIAC, datasheet 10.2.4.
enum Cause {
  static let linkChange: UInt32 = 1 << 2
  static let receiveOverrun: UInt32 = 1 << 6
  static let receiveQueue: UInt32 = 1 << 20
  static let transmitQueue: UInt32 = 1 << 22
  static let other: UInt32 = 1 << 24
  static let all: UInt32 = .max
  /// Everything that raises ``other``: LSC, RXO, MDAC, SRPD, ACK, MNG. All of it is unmasked, wanted or not: while a cause is
  /// pending that is masked, reading ICR can lose others (specification update, erratum 12).
  static let otherCauses: UInt32 = linkChange | receiveOverrun | 1 << 9 | 1 << 16 | 1 << 17 | 1 << 18
  static let queues: UInt32 = receiveQueue | transmitQueue
}

/// IVAR, datasheet 10.2.4: four bits for each cause, the uppermost saying that the vector is valid. Bit 31 stays 0: only
/// descriptors that ask for it (RS) are written back and interrupt.
enum InterruptVectors {
  static let receiveShift: UInt32 = 0
  static let transmitShift: UInt32 = 8
  static let otherShift: UInt32 = 16

  static func value(receive: UInt32, transmit: UInt32, other: UInt32) -> UInt32 {
    (8 | receive) << receiveShift | (8 | transmit) << transmitShift | (8 | other) << otherShift
  }
}

/// RCTL, datasheet 10.2.5. Multicast offset 0 (bits 47:36 of the address), buffers of 2048 bytes.
enum ReceiveControl {
  /// EN.
  static let enable: UInt32 = 1 << 1
  static let unicastPromiscuous: UInt32 = 1 << 3
  static let multicastPromiscuous: UInt32 = 1 << 4
  /// LPE: frames of more than 1522 bytes, with the check sequence. One of 1500 bytes behind two tags has 1526.
  static let longPackets: UInt32 = 1 << 5
  static let broadcast: UInt32 = 1 << 15
  static let discardPause: UInt32 = 1 << 22
  static let stripCRC: UInt32 = 1 << 26
}

/// RXCSUM, datasheet 10.2.5.
enum ReceiveChecksum {
  static let ip: UInt32 = 1 << 8
  static let tcpUDP: UInt32 = 1 << 9
}

/// RFCTL, datasheet 10.2.5: no interrupt for each TCP acknowledgement, which this controller raises spuriously.
enum ReceiveFilter { static let noAcknowledgeInterrupt: UInt32 = 1 << 12 }

/// TCTL, datasheet 10.2.6.
enum TransmitControl {
  static let enable: UInt32 = 1 << 1
  static let padShort: UInt32 = 1 << 3
  /// Collision threshold 15, distance 63: the values for full duplex.
  static let collision: UInt32 = 15 << 4 | 63 << 12
  /// RRTHRESH 1: the pipeline may hold several requests.
  static let multipleRequests: UInt32 = 1 << 28
}

/// TIPG for copper, datasheet 10.2.6: IPGT 8, IPGR1 8, IPGR2 6.
enum InterPacketGap { static let copper: UInt32 = 8 | 8 << 10 | 6 << 20 }

/// TXDCTL and RXDCTL: GRAN, bit 24, thresholds count descriptors; WTHRESH 1 in bits 21:16, every descriptor is
/// written back at once.
enum DescriptorControl {
  static let writeBackEach: UInt32 = 1 << 24 | 1 << 16
  /// COUNT_DESC, TXDCTL bit 22: to be set in this family.
  static let countDescriptors: UInt32 = 1 << 22
}

/// RAH, datasheet 10.2.5.
enum ReceiveAddress { static let valid: UInt32 = 1 << 31 }

/// EECD, datasheet 10.2.2: the registers were loaded from NVM after a reset (Auto_RD).
enum NVMControl { static let isLoaded: UInt32 = 1 << 9 }

/// EERD, datasheet 10.2.2: start, done, word address in bits 15:2, data in bits 31:16.
enum NVMRead {
  static let start: UInt32 = 1
  static let done: UInt32 = 2
  static let addressShift: UInt32 = 2
  static let dataShift: UInt32 = 16
}

/// EXTCNF_CTRL: software owns MDIO.
enum ExtendedConfiguration { static let softwareOwnsMDIO: UInt32 = 1 << 5 }

/// MDIC, datasheet 10.2.2: data 15:0, register 20:16, PHY 25:21, operation 27:26, ready 28, error 30.
enum PHYAccess {
  static let registerShift: UInt32 = 16
  /// The only PHY has address 1.
  static let phy: UInt32 = 1 << 21
  static let write: UInt32 = 1 << 26
  static let read: UInt32 = 2 << 26
  static let ready: UInt32 = 1 << 28
  static let error: UInt32 = 1 << 30
}

/// Registers of the PHY, IEEE 802.3 clause 22.2.4.
enum PHYRegister {
  static let control: UInt32 = 0
  static let status: UInt32 = 1
  static let identifier1: UInt32 = 2
  static let identifier2: UInt32 = 3

  static let restartNegotiation: UInt16 = 1 << 9
  static let powerDown: UInt16 = 1 << 11
  static let negotiation: UInt16 = 1 << 12
}
