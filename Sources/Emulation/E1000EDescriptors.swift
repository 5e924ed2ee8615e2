/// A transmit descriptor, legacy or extended (82574 datasheet 7.2.3, 7.2.5).
struct E1000ETransmitDescriptor {
  let low: UInt64
  let high: UInt64

  /// DEXT.
  var isExtended: Bool { high >> 29 & 1 == 1 }
  /// DTYP 0 of an extended one.
  var isContext: Bool { isExtended && high >> 20 & 0xF == 0 }
  var address: UInt64 { low }
  /// DTALEN has 20 bits, a legacy one's length 16.
  var length: Int { Int(high & (isExtended ? 0xFFFFF : 0xFFFF)) }
  var isLast: Bool { high >> 24 & 1 == 1 }
  /// IFCS: the controller adds the check sequence.
  var addsCheckSequence: Bool { high >> 25 & 1 == 1 }
  /// RS: the descriptor is to be written back.
  var reports: Bool { high >> 27 & 1 == 1 }
  /// TSE.
  var isSegmented: Bool { isExtended && high >> 26 & 1 == 1 }
  /// POPTS: IXSM, TXSM.
  var insertsIP: Bool { isExtended && high >> 40 & 1 == 1 }
  var insertsTransport: Bool { isExtended && high >> 41 & 1 == 1 }
  /// IC, CSO and CSS of a legacy one: a sum from CSS to the end goes to CSO.
  var insertsLegacy: Bool { !isExtended && high >> 26 & 1 == 1 }
  var legacyPlace: Int { Int(high >> 16 & 0xFF) }
  var legacyStart: Int { Int(high >> 40 & 0xFF) }
}

/// What a context descriptor says (82574 datasheet 7.2.4).
struct E1000EContext {
  var low: UInt64 = 0
  var high: UInt64 = 0

  var ipStart: Int { Int(low & 0xFF) }
  var ipPlace: Int { Int(low >> 8 & 0xFF) }
  /// Inclusive; 0: the end of the frame.
  var ipEnd: Int { Int(low >> 16 & 0xFFFF) }
  var transportStart: Int { Int(low >> 32 & 0xFF) }
  var transportPlace: Int { Int(low >> 40 & 0xFF) }
  var transportEnd: Int { Int(low >> 48 & 0xFFFF) }
  var payloadLength: Int { Int(high & 0xFFFFF) }
  /// TUCMD: TCP, or else UDP; IPv4, or else IPv6.
  var isTCP: Bool { high >> 24 & 1 == 1 }
  var isIPv4: Bool { high >> 25 & 1 == 1 }
  var headerLength: Int { Int(high >> 40 & 0xFF) }
  var segmentSize: Int { Int(high >> 48 & 0xFFFF) }
}
