import CBulkhead

/// Transmitting (82574 datasheet 7.2).
extension E1000EController {
  private static let done: UInt64 = 1 << 32

  private var canTransmit: Bool {
    transmitControl.isEnabled && isMaster && iommu.isBusMaster && isLinkUp && !stalled.transmit
  }

  /// Takes descriptors up to a number of frames; returns whether it took any.
  func transmit() -> Bool {
    guard canTransmit, transmitRing.available(registers) > 0 else { return false }
    bh_dma_read_barrier()
    iommu.queue = 1
    var frames = 0
    var written = false
    while frames < Self.batch, canTransmit, transmitRing.available(registers) > 0 {
      iommu.command = UInt16(truncatingIfNeeded: transmitRing.head)
      let address = transmitRing.place(transmitRing.head)
      guard let place = iommu.translate(address, E1000ERing.descriptorSize, .deviceReads) else {
        // The answer of the bus was an error: the controller goes no further.
        stalled.transmit = true
        break
      }
      let descriptor = E1000ETransmitDescriptor(low: bh_load64(place), high: bh_load64(place + 8))
      transmitRing.advance(registers)
      if descriptor.isContext {
        context = E1000EContext(low: descriptor.low, high: descriptor.high)
      } else {
        gather(descriptor)
        if descriptor.isLast {
          frames += 1
          finish()
          guard !isVanished else { break }
        }
      }
      if descriptor.reports {
        writeBackTransmit(address)
        written = true
      }
    }
    iommu.queue = nil
    iommu.command = nil
    guard !isVanished else { return true }
    if written {
      let isEmpty = transmitRing.available(registers) == 0
      raise(
        E1000ECause.transmitQueue0 | E1000ECause.transmitWritten | (isEmpty ? E1000ECause.transmitEmpty : 0))
    }
    losesInterrupt = false
    return true
  }

  /// Sets the done bit.
  func writeBackTransmit(_ address: UInt64) {
    guard let place = iommu.translate(address, E1000ERing.descriptorSize, .deviceWrites) else { return }
    bh_store64(place + 8, bh_load64(place + 8) | Self.done)
  }

  /// Adds a descriptor's data to the frame. One whose data cannot be read, or that is too long, is not sent.
  private func gather(_ descriptor: E1000ETransmitDescriptor) {
    if outgoingCommand == nil { outgoingCommand = descriptor }
    guard descriptor.length > 0, !isOutgoingRefused else { return }
    guard outgoingLength + descriptor.length <= Self.largestTransmit,
      let memory = iommu.translate(descriptor.address, descriptor.length, .deviceReads)
    else {
      isOutgoingRefused = true
      return
    }
    (outgoing + outgoingLength).copyMemory(from: memory, byteCount: descriptor.length)
    outgoingLength += descriptor.length
  }

  func dropOutgoing() {
    outgoingLength = 0
    outgoingCommand = nil
    isOutgoingRefused = false
  }

  /// Sends the frame that was put together.
  private func finish() {
    defer { dropOutgoing() }
    guard let command = outgoingCommand, !isOutgoingRefused, outgoingLength >= 14 else { return }
    var effects = armed.isEmpty ? E1000ETransmitEffects() : misbehaveTransmitting()
    guard !effects.isTaken else { return }
    if !command.addsCheckSequence { outgoingLength = max(14, outgoingLength - Self.checkSequenceSize) }
    let frame = E1000EFrame(bytes: outgoing, length: outgoingLength)
    repeat {
      if command.isSegmented { sendSegments(frame, command) } else { send(frame, command) }
      effects.copies -= 1
    } while effects.copies > 0
    if effects.runAhead > 0 { runAhead(transmitRing, effects.runAhead, isReceive: false) }
    if let head = effects.head { registers.store(E1000ERegister.tdh, UInt32(head)) }
  }

  private func send(_ frame: E1000EFrame, _ command: E1000ETransmitDescriptor) {
    insertChecksums(frame, command)
    if command.insertsLegacy {
      insert(frame, start: command.legacyStart, place: command.legacyPlace, end: 0, neverZero: false)
    }
    emit(frame)
  }

  /// Puts a frame on the wire, padded as TCTL.PSP says.
  private func emit(_ frame: E1000EFrame) {
    var length = frame.length
    while transmitControl.padsShort, length < 60 {
      frame.bytes.storeBytes(of: 0, toByteOffset: length, as: UInt8.self)
      length += 1
    }
    statistics.count(frame.bytes, length, isReceived: false)
    wire.send(frame.bytes, length)
  }

  // MARK: Checksums, 7.2.5.2 and 7.2.10

  private func insertChecksums(_ frame: E1000EFrame, _ command: E1000ETransmitDescriptor) {
    if command.insertsIP {
      insert(frame, start: context.ipStart, place: context.ipPlace, end: context.ipEnd, neverZero: false)
    }
    if command.insertsTransport {
      insert(
        frame, start: context.transportStart, place: context.transportPlace, end: context.transportEnd,
        neverZero: !context.isTCP)
    }
  }

  /// The sum from `start` through `end` (0: the frame's end), what is in its place already included: a driver leaves 0
  /// there, or the pseudo header's sum. What lies outside the frame is not inserted.
  private func insert(_ frame: E1000EFrame, start: Int, place: Int, end: Int, neverZero: Bool) {
    let end = end == 0 ? frame.length : min(frame.length, end + 1)
    guard start < end, place + 2 <= frame.length else { return }
    let sum = ~frame.sum(start..<end)
    frame.put16(place, sum == 0 && neverZero ? 0xFFFF : sum)
  }

  // MARK: Segmentation, 7.2.6

  /// Cuts the payload into pieces of MSS bytes, each behind a copy of the headers, which is brought up to date.
  private func sendSegments(_ frame: E1000EFrame, _ command: E1000ETransmitDescriptor) {
    let headers = context.headerLength
    let size = context.segmentSize
    let end = min(frame.length, headers + context.payloadLength)
    guard headers >= 14, size > 0, headers < end, headers + size <= 0x11000,
      context.ipStart + 20 <= headers, context.transportStart + (context.isTCP ? 20 : 8) <= headers
    else { return }
    statistics.count(E1000EStatistics.Counter.segmented)
    var sent = headers
    var number = 0
    while sent < end {
      let count = min(size, end - sent)
      segment.copyMemory(from: frame.bytes, byteCount: headers)
      (segment + headers).copyMemory(from: frame.bytes + sent, byteCount: count)
      let piece = E1000EFrame(bytes: segment, length: headers + count)
      update(piece, number: number, offset: sent - headers, isLast: sent + count == end)
      insertChecksums(piece, command)
      emit(piece)
      sent += count
      number += 1
    }
  }

  /// Lengths, identification, sequence number and flags of one segment (7.2.6.6).
  private func update(_ piece: E1000EFrame, number: Int, offset: Int, isLast: Bool) {
    let network = context.ipStart
    let transport = context.transportStart
    if context.isIPv4 {
      piece.put16(network + 2, UInt16(truncatingIfNeeded: piece.length - network))
      piece.put16(network + 4, piece.get16(network + 4) &+ UInt16(truncatingIfNeeded: number))
    } else {
      piece.put16(network + 4, UInt16(truncatingIfNeeded: piece.length - network - 40))
    }
    let length = piece.length - transport
    if context.isTCP {
      piece.put32(transport + 4, piece.get32(transport + 4) &+ UInt32(truncatingIfNeeded: offset))
      // FIN and PSH are for the last one. Nothing is said of CWR, which so is in each: what a driver must not rely on.
      var flags = piece.get8(transport + 13)
      if !isLast { flags &= ~0x09 }
      piece.bytes.storeBytes(of: flags, toByteOffset: transport + 13, as: UInt8.self)
    } else {
      piece.put16(transport + 4, UInt16(truncatingIfNeeded: length))
    }
    // The length belongs to the pseudo header, whose other part the driver has left in place.
    guard context.transportPlace + 2 <= piece.length else { return }
    let sum = UInt32(piece.get16(context.transportPlace)) + UInt32(length)
    piece.put16(context.transportPlace, UInt16(truncatingIfNeeded: (sum & 0xFFFF) + sum >> 16))
  }
}
