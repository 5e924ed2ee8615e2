import Protocol

/// What one connection has negotiated beyond the export.
struct Agreement: OptionSet {
  let rawValue: UInt8
  /// READ is answered in chunks, errors with a text.
  static let structuredReplies = Agreement(rawValue: 1)
  /// BLOCK_STATUS reports `base:allocation`.
  static let allocation = Agreement(rawValue: 2)
}

/// A unit as clients see it.
struct Export {
  /// Index of the unit.
  var unit: Int
  /// Its canonical name, `ns<identifier>`.
  var name: String
  /// Model and serial number, for people.
  var description: String
  /// Bytes.
  var size: UInt64
  var blockSize: UInt32
  /// Bytes of the largest READ or WRITE.
  var maximumPayload: UInt32
  var flags: NBD.TransmissionFlags

  init(_ unit: BlockUnit, readOnly: Bool, maximumPayload: Int) {
    self.unit = Int(unit.index)
    name = "ns\(unit.identifier)"
    description = unit.serial.isEmpty ? unit.model : "\(unit.model) \(unit.serial)"
    size = unit.size
    blockSize = unit.blockSize
    self.maximumPayload = UInt32(maximumPayload)
    // Flush and FUA always: where the unit has no volatile cache they cost nothing, and where it has no FUA a flush does.
    // One table serves all connections, so a flush on one covers what was answered on any.
    flags = [.hasFlags, .sendFlush, .sendFUA, .canMultiConn, .sendCache]
    if readOnly || unit.features.contains(.readOnly) {
      flags.insert(.readOnly)
    } else {
      if unit.features.contains(.discard) { flags.insert(.sendTrim) }
      if unit.features.contains(.writeZeroes) { flags.insert(.sendWriteZeroes) }
    }
  }

  /// The transmission flags for a client that has agreed to `agreement`.
  func flags(_ agreement: Agreement) -> NBD.TransmissionFlags {
    agreement.contains(.structuredReplies) ? flags.union(.sendDontFragment) : flags
  }

  /// Whether a client that knows nothing of the block size would ask for what this export cannot do.
  var needsBlockSizeKnown: Bool { blockSize > NBD.defaultBlockSize }

  /// Whether a client means this export: by its name, by the unit's index, or by no name for the first.
  func isMeant(by name: String) -> Bool {
    name == self.name || name == "\(unit)" || (name.isEmpty && unit == 0)
  }
}
