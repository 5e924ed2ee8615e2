import CBulkhead

/// Receiving (82574 datasheet 7.1).
extension E1000EController {
  /// What a receive descriptor says in its status, 7:0, and errors, 15:8 (7.1.4.2, 7.1.4.3).
  private enum Status {
    static let done: UInt32 = 1 << 0
    static let endOfPacket: UInt32 = 1 << 1
    static let ignoreChecksum: UInt32 = 1 << 2
    static let udpChecked: UInt32 = 1 << 4
    static let transportChecked: UInt32 = 1 << 5
    static let headerChecked: UInt32 = 1 << 6
    static let inexact: UInt32 = 1 << 7
    static let transportError: UInt32 = 1 << 13
    static let headerError: UInt32 = 1 << 14
  }

  private var isReceiving: Bool {
    receiveControl.isEnabled && isMaster && iommu.isBusMaster && isLinkUp && !stalled.receive
  }

  /// Takes frames from the wire while there are descriptors for them; returns whether there were any.
  ///
  /// A frame for which there are not enough waits here, and the others on the wire, where an 82574L would lose those for which
  /// its memory has no room. It says so all the same (RXO, RNBC).
  func receive() -> Bool {
    guard isReceiving else {
      wire.wantsFrames = false
      return false
    }
    wire.wantsFrames = waitingLength == nil
    guard waitingLength != nil || wire.hasFrames else { return false }
    bh_dma_read_barrier()
    iommu.queue = 0
    var taken = 0
    var stored = 0
    while taken < Self.batch, isReceiving, let length = waitingLength ?? wire.receive(incoming) {
      guard hasRoom(length) else {
        wait(length)
        break
      }
      waitingLength = nil
      taken += 1
      if accept(E1000EFrame(bytes: incoming, length: length)) { stored += 1 }
      if isVanished { break }
    }
    iommu.queue = nil
    if isReceiving { wire.wantsFrames = waitingLength == nil }
    if stored > 0 { raise(E1000ECause.receiveQueue0 | E1000ECause.receiveTimer) }
    losesInterrupt = false
    return taken > 0
  }

  /// Whether there are descriptors for a frame, or never will be.
  private func hasRoom(_ length: Int) -> Bool {
    let size = receiveControl.bufferSize
    let count = (max(length, 60) + Self.checkSequenceSize + size - 1) / size
    return count <= receiveRing.available(registers) || count >= receiveRing.entries
  }

  /// Keeps a frame until there are descriptors.
  private func wait(_ length: Int) {
    wire.wantsFrames = false
    guard waitingLength == nil else { return }
    waitingLength = length
    statistics.count(E1000EStatistics.Counter.noBuffer)
    raise(E1000ECause.receiveOverrun)
  }

  /// Filters a frame, and puts it into the ring if it passes.
  private func accept(_ frame: E1000EFrame) -> Bool {
    let control = receiveControl
    guard frame.length >= 14 else {
      statistics.count(E1000EStatistics.Counter.undersize)
      return false
    }
    let limit = control.takesLongPackets ? Self.largestLongFrame : Self.largestFrame
    guard max(frame.length, 60) + Self.checkSequenceSize <= limit else {
      statistics.count(E1000EStatistics.Counter.oversize)
      return false
    }
    guard let isExact = E1000EFilter(registers: registers, control: control).passes(frame) else { return false }
    let padded = pad(frame)
    statistics.count(frame.bytes, frame.length, isReceived: true)
    var effects = armed.isEmpty ? E1000EReceiveEffects() : misbehave(receiving: padded)
    guard !effects.isTaken else { return false }
    var status = checksumStatus(padded) | (isExact ? 0 : Status.inexact)
    if effects.falseChecksum {
      status &= ~(Status.transportError | Status.headerError | Status.ignoreChecksum)
      status |= Status.transportChecked | Status.headerChecked
    }
    repeat {
      guard store(padded, status, effects) else { return false }
      effects.copies -= 1
    } while effects.copies > 0
    if effects.runAhead > 0 { runAhead(receiveRing, effects.runAhead, isReceive: true) }
    if let head = effects.head { registers.store(E1000ERegister.rdh, UInt32(head)) }
    return true
  }

  /// A frame on the wire has at least 60 bytes and its check sequence, which is handed on unless RCTL.SECRC is set.
  private func pad(_ frame: E1000EFrame) -> E1000EFrame {
    var length = frame.length
    while length < 60 {
      frame.bytes.storeBytes(of: 0, toByteOffset: length, as: UInt8.self)
      length += 1
    }
    guard !receiveControl.stripsCheckSequence else { return E1000EFrame(bytes: frame.bytes, length: length) }
    let check = bh_frame_check_sequence(frame.bytes, length)
    frame.bytes.storeBytes(of: check.littleEndian, toByteOffset: length, as: UInt32.self)
    return E1000EFrame(bytes: frame.bytes, length: length + Self.checkSequenceSize)
  }

  /// The checksums were really looked at (7.1.10).
  private func checksumStatus(_ frame: E1000EFrame) -> UInt32 {
    let control = E1000EReceiveChecksum(rawValue: registers.load(E1000ERegister.rxcsum))
    guard control.checksIP || control.checksTransport else { return Status.ignoreChecksum }
    let trailer = receiveControl.stripsCheckSequence ? 0 : Self.checkSequenceSize
    let found = E1000EFrame(bytes: frame.bytes, length: frame.length - trailer).checksums()
    guard found.isIP else { return Status.ignoreChecksum }
    var status: UInt32 = 0
    if control.checksIP, let isGood = found.isHeaderGood {
      status |= Status.headerChecked | (isGood ? 0 : Status.headerError)
    }
    if control.checksTransport, let isGood = found.isTransportGood {
      status |= Status.transportChecked | (found.isUDP ? Status.udpChecked : 0) | (isGood ? 0 : Status.transportError)
    }
    return status
  }

  /// Writes a frame into the buffers of as many descriptors as it needs.
  private func store(_ frame: E1000EFrame, _ status: UInt32, _ effects: E1000EReceiveEffects) -> Bool {
    let size = receiveControl.bufferSize
    let count = (frame.length + size - 1) / size
    guard receiveRing.available(registers) >= count else {
      statistics.count(E1000EStatistics.Counter.missed)
      raise(E1000ECause.receiveOverrun)
      return false
    }
    var sent = 0
    for piece in 0..<count {
      iommu.command = UInt16(truncatingIfNeeded: receiveRing.head)
      defer { iommu.command = nil }
      let address = receiveRing.place(receiveRing.head)
      guard let descriptor = iommu.translate(address, E1000ERing.descriptorSize, .deviceReads) else {
        // The answer of the bus was an error: the controller goes no further.
        stalled.receive = true
        return false
      }
      let buffer = bh_load64(descriptor)
      let bytes = min(size, frame.length - sent)
      // A write that the IOMMU stops is lost, and nobody is told.
      if effects.isStray {
        _ = iommu.translate(Self.strayAddress, bytes, .deviceWrites)
      } else if !effects.noData, let memory = iommu.translate(buffer, bytes, .deviceWrites) {
        memory.copyMemory(from: frame.bytes + sent, byteCount: bytes)
      }
      sent += bytes
      let isLast = piece == count - 1 && !effects.noEnd
      let word = isLast ? status | Status.done | Status.endOfPacket : Status.done
      writeBack(address, effects.length ?? UInt16(bytes), word, frame)
      receiveRing.advance(registers)
    }
    return true
  }

  /// In no arena, and clear of the interrupts' window.
  static let strayAddress: UInt64 = 0xDEAD_0000

  /// Writes a descriptor back, in the legacy (7.1.4) or the extended (7.1.5) format; the word with the done bit last.
  func writeBack(_ address: UInt64, _ length: UInt16, _ status: UInt32, _ frame: E1000EFrame?) {
    guard let place = iommu.translate(address, E1000ERing.descriptorSize, .deviceWrites) else { return }
    let checksum = frame.map(packetChecksum) ?? 0
    guard registers.load(E1000ERegister.rfctl) & E1000EReceiveFilter.extendedStatus != 0 else {
      let low = UInt64(length) | UInt64(checksum) << 16
      bh_dma_write_barrier()
      bh_store64(place + 8, low | UInt64(status & 0xFFFF) << 32)
      return
    }
    // No RSS: MRQ is 0; the packet checksum is in the upper half of the second word.
    bh_store64(place, UInt64(checksum) << 48)
    bh_dma_write_barrier()
    bh_store64(place + 8, UInt64(status & 0xFF) | UInt64(status >> 8 & 0xFF) << 24 | UInt64(length) << 32)
  }

  /// The sum from RXCSUM.PCSS to the end (10.2.5.16).
  private func packetChecksum(_ frame: E1000EFrame) -> UInt16 {
    let control = E1000EReceiveChecksum(rawValue: registers.load(E1000ERegister.rxcsum))
    guard !control.isPacketChecksumOff, control.start < frame.length else { return 0 }
    return frame.sum(control.start..<frame.length)
  }
}
