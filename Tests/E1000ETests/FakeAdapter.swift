import CCounting
import DriverKit
import DriverRig
import Glibc

/// An 82574L in memory, written from the datasheet and not from the driver: offsets and bits are spelled out as numbers.
/// It sends when TDT is written and receives when the test says so, on the caller's thread.
final class FakeAdapter: FakeNetworkDevice {
  let memories: [FakeMemory]
  var registers: [Int: UInt32] = [:]
  var nvm = [UInt16](repeating: 0, count: 64)
  var phy: [UInt32: UInt16] = [0: 0x1140, 1: 0x796D, 2: 0x0141, 3: 0x0CB1]
  /// Signals of the vectors; -1: nowhere.
  var vectors: [Int32] = []
  var causes: UInt32 = 0
  var resets = 0
  /// Frames that went out to the wire.
  var wire: [[UInt8]] = []
  /// Addresses that the device was told to use and that are in no memory.
  var faults: [UInt64] = []
  /// Transmit descriptors that are not in one page, or empty.
  var crossings = 0
  /// Accesses to registers.
  var accesses = 0
  /// What RCTL was told since the last reset.
  var controlsWritten: [UInt32] = []
  var isCounting = false
  private var context: (low: UInt64, high: UInt64) = (0, 0)
  var segmentations = 0
  /// The message for other causes was sent, and they were not cleared since.
  private var isOtherPending = false

  // Misbehaviour.
  var isGone = false
  var resetNeverEnds = false
  var masterNeverEnds = false
  /// What reads of EECD say one after the other, and its last value from then on: NVM present (8), loaded (9).
  var nvmControls: [UInt32] = [1 << 8 | 1 << 9]
  var isLinkUp = true
  /// Sends nothing.
  var isStuck = false
  /// Changes the second half of a receive descriptor before it is written.
  var forge: (UInt64) -> UInt64 = { $0 }
  /// Registers that a reset does not take back (QEMU 7.2's CTRL.RST leaves nearly all).
  var leftovers: [Int: UInt32] = [:]
  /// Loads no address from the NVM.
  var loadsAddress = true

  init(memories: [FakeMemory]) {
    self.memories = memories
    (nvm[0], nvm[1], nvm[2], nvm[5]) = (0x5452, 0x1200, 0x5634, 0x2103)
    fixChecksum()
    reset()
    resets = 0
  }

  func fixChecksum() { nvm[63] = 0xBABA &- nvm[..<63].reduce(0, &+) }

  private func reset() {
    resets += 1
    registers = leftovers
    controlsWritten = []
    registers[0x0000] = 0x0000_0200
    (causes, isOtherPending) = (0, false)
    guard loadsAddress else { return }
    registers[0x5400] = UInt32(nvm[1]) << 16 | UInt32(nvm[0])
    registers[0x5404] = UInt32(nvm[2]) | 1 << 31
  }

  // MARK: Registers

  func bar(length: Int = 0x20000) -> Bar {
    let context = Unmanaged.passUnretained(self).toOpaque()
    return Bar(
      windows: [Bar.Window(offset: 0, length: length, base: nil)],
      mediator: BarMediator(
        context: context,
        read: { context, offset, width in
          let fake = Unmanaged<FakeAdapter>.fromOpaque(context!).takeUnretainedValue()
          return fake.uncounted { fake.read(offset, width) }
        },
        write: { context, offset, width, value in
          let fake = Unmanaged<FakeAdapter>.fromOpaque(context!).takeUnretainedValue()
          fake.uncounted { fake.write(offset, width, UInt32(value)) }
        }))
  }

  private func uncounted<Value>(_ body: () -> Value) -> Value {
    if isCounting { counting_pause() }
    defer { if isCounting { counting_resume() } }
    return body()
  }

  private func read(_ offset: Int, _ width: Int) -> UInt64 {
    precondition(width == 4, "registers are accessed as 32 bits")
    accesses += 1
    if isGone { return 0xFFFF_FFFF }
    switch offset {
    case 0x0008:
      let isMaster = masterNeverEnds || registers[0x0000]! & 4 == 0
      return UInt64((isLinkUp ? 0x83 : 0x01) | (isMaster ? 1 << 19 : 0) as UInt32)
    case 0x0010: return UInt64(nvmControls.count > 1 ? nvmControls.removeFirst() : nvmControls[0])
    case 0x00C0:
      // As QEMU's does with MSI-X: a read clears nothing, as long as something is unmasked.
      defer { if registers[0x00D0] ?? 0 == 0 { causes = 0 } }
      return UInt64(causes)
    case 0x4000..<0x4200:
      let isLowHalf = offset == 0x4088 || offset == 0x4090
      defer { if !isLowHalf { registers[offset] = nil } }
      return UInt64(registers[offset] ?? 0)
    default: return UInt64(registers[offset] ?? 0)
    }
  }

  private func write(_ offset: Int, _ width: Int, _ value: UInt32) {
    precondition(width == 4, "registers are accessed as 32 bits")
    accesses += 1
    guard !isGone else { return }
    switch offset {
    case 0x0000 where value >> 26 & 1 == 1:
      reset()
      if resetNeverEnds { registers[0x0000] = 1 << 26 }
    case 0x0100:
      registers[offset] = value
      controlsWritten.append(value)
    case 0x0014: registers[offset] = UInt32(nvm[Int(value >> 2 & 63)]) << 16 | 2
    case 0x0020: accessPHY(value)
    case 0x00C0:
      causes &= ~value
      if causes & 1 << 24 == 0 { isOtherPending = false }
    case 0x00C8: raise(value)
    case 0x00D0:
      registers[0x00D0] = (registers[0x00D0] ?? 0) | value
      raise(0)
    case 0x00D8: registers[0x00D0] = (registers[0x00D0] ?? 0) & ~value
    case 0x3818:
      registers[offset] = value
      transmit()
    default: registers[offset] = value
    }
  }

  private func accessPHY(_ value: UInt32) {
    let number = value >> 16 & 31
    guard value >> 21 & 31 == 1 else {
      registers[0x0020] = value | 1 << 28 | 1 << 30
      return
    }
    if value >> 26 & 3 == 1 { phy[number] = UInt16(truncatingIfNeeded: value) }
    registers[0x0020] = value & 0xFFFF_0000 | UInt32(phy[number] ?? 0) | 1 << 28
  }

  /// Raises causes, and sends the messages of those that are not masked.
  func raise(_ new: UInt32) {
    causes |= new
    if new & (1 << 2 | 1 << 6) != 0 { causes |= 1 << 24 }
    let entries: [(cause: UInt32, shift: UInt32)] = [(1 << 20, 0), (1 << 22, 8), (1 << 24, 16)]
    for (cause, shift) in entries where causes & cause & (registers[0x00D0] ?? 0) != 0 {
      let entry = (registers[0x00E4] ?? 0) >> shift & 15
      guard entry >= 8, Int(entry & 7) < vectors.count, shift != 16 || !isOtherPending else { continue }
      if shift == 16 { isOtherPending = true }
      EventDescriptor.signal(vectors[Int(entry & 7)])
      let automatic = (registers[0x00DC] ?? 0) & cause
      causes &= ~automatic
      if (registers[0x0018] ?? 0) >> 24 & 1 == 1 { registers[0x00D0] = (registers[0x00D0] ?? 0) & ~automatic }
    }
  }

  func at(_ address: UInt64, _ length: Int) -> UnsafeMutableRawPointer? {
    for memory in memories { if let place = memory.find(address, length) { return place } }
    faults.append(address)
    return nil
  }

  private func address(_ low: Int) -> UInt64 {
    UInt64(registers[low] ?? 0) | UInt64(registers[low + 4] ?? 0) << 32
  }

  // MARK: Transmit

  /// Works off the ring from TDH to TDT.
  func transmit() {
    guard (registers[0x0400] ?? 0) & 2 != 0, !isStuck, !isGone else { return }
    let entries = Int(registers[0x3808]!) / 16
    var frame: [UInt8] = []
    while registers[0x3810]! != registers[0x3818]! {
      let index = Int(registers[0x3810]!)
      guard let place = at(address(0x3800) + UInt64(index * 16), 16) else { return }
      let low = place.load(as: UInt64.self)
      let high = place.load(fromByteOffset: 8, as: UInt64.self)
      registers[0x3810] = UInt32((index + 1) % entries)
      precondition(high >> 29 & 1 == 1, "only extended descriptors are expected")
      if high >> 20 & 15 == 0 {
        context = (low, high)
        continue
      }
      let length = Int(high & 0xFFFFF)
      guard let bytes = at(low, length) else { return }
      // QEMU maps each piece on its own, and drops the frame if the pages behind it are not neighbours.
      if length == 0 || low / 4096 != (low + UInt64(length) - 1) / 4096 { crossings += 1 }
      frame += UnsafeRawBufferPointer(start: bytes, count: length)
      if high >> 27 & 1 == 1 { place.storeBytes(of: high | 1 << 32, toByteOffset: 8, as: UInt64.self) }
      guard high >> 24 & 1 == 1 else { continue }
      emit(frame, high)
      frame = []
    }
    raise(1 << 22)
  }

  private func emit(_ frame: [UInt8], _ descriptor: UInt64) {
    let payloadStart = Int(context.high >> 40 & 0xFF)
    guard descriptor >> 26 & 1 == 1 else {
      var frame = frame
      offload(&frame, descriptor, segment: nil)
      return wire.append(frame)
    }
    segmentations += 1
    let size = Int(context.high >> 48)
    precondition(Int(context.high & 0xFFFFF) == frame.count - payloadStart, "PAYLEN is not the payload's length")
    var sent = payloadStart
    while sent < frame.count {
      let count = min(size, frame.count - sent)
      var piece = Array(frame[..<payloadStart]) + frame[sent..<sent + count]
      offload(&piece, descriptor, segment: (sent - payloadStart, sent + count == frame.count))
      wire.append(piece)
      sent += count
    }
  }

  /// Fills in what the context and the options of the descriptor ask for.
  private func offload(_ frame: inout [UInt8], _ descriptor: UInt64, segment: (offset: Int, isLast: Bool)?) {
    let network = Int(context.low & 0xFF)
    let transport = Int(context.low >> 32 & 0xFF)
    let isVersion4 = context.high >> 25 & 1 == 1
    if let segment {
      let length = frame.count - network - (isVersion4 ? 0 : 40)
      frame.put16(network + (isVersion4 ? 2 : 4), UInt16(length))
      if isVersion4 { frame.put16(network + 4, frame.get16(network + 4) &+ UInt16(wire.count)) }
      let sequence = frame.get32(transport + 4) &+ UInt32(segment.offset)
      frame.put16(transport + 4, UInt16(sequence >> 16))
      frame.put16(transport + 6, UInt16(truncatingIfNeeded: sequence))
      if !segment.isLast { frame[transport + 13] &= ~0x09 }
      // The length of this segment is added to what the driver left of the pseudo header.
      let sum = UInt32(frame.get16(transport + 16)) + UInt32(frame.count - transport)
      frame.put16(transport + 16, UInt16(sum & 0xFFFF) + UInt16(sum >> 16))
    }
    if descriptor >> 40 & 1 == 1 {
      let place = Int(context.low >> 8 & 0xFF)
      let end = Int(context.low >> 16 & 0xFFFF)
      frame.put16(place, 0)
      frame.put16(place, ~internetSum(frame[network...end]))
    }
    if descriptor >> 41 & 1 == 1 {
      let place = Int(context.low >> 40 & 0xFF)
      frame.put16(place, ~internetSum(frame[transport...]))
    }
  }

  // MARK: Receive

  /// Puts a frame that came from the wire into the ring.
  /// - Parameters:
  ///   - status: bits of the status byte besides DD and EOP.
  /// - Returns: false where it is not taken: filtered, or no descriptors.
  @discardableResult
  func receive(_ frame: [UInt8], status: UInt64 = 0x04, errors: UInt64 = 0) -> Bool {
    let control = registers[0x0100] ?? 0
    guard control & 2 != 0, frame.count <= (control & 0x20 != 0 ? 9230 : 1518), accepts(frame, control) else {
      return false
    }
    let entries = Int(registers[0x2808]!) / 16
    let size = 2048
    var head = Int(registers[0x2810]!)
    let tail = Int(registers[0x2818]!)
    let need = (frame.count + size - 1) / size
    guard (tail - head + entries) % entries >= need else {
      registers[0x4010] = (registers[0x4010] ?? 0) + 1
      return false
    }
    for piece in 0..<need {
      let bytes = frame[piece * size..<min(frame.count, (piece + 1) * size)]
      guard let place = at(address(0x2800) + UInt64(head * 16), 16) else { return false }
      guard let memory = at(place.load(as: UInt64.self), size) else { return false }
      bytes.withUnsafeBytes { _ = memcpy(memory, $0.baseAddress!, $0.count) }
      let isLast = piece == need - 1
      let word =
        UInt64(bytes.count) | 1 << 32 | (isLast ? 1 << 33 | status << 32 | errors << 40 : 0)
      place.storeBytes(of: forge(word), toByteOffset: 8, as: UInt64.self)
      head = (head + 1) % entries
      registers[0x2810] = UInt32(head)
    }
    raise(1 << 20)
    return true
  }

  private func accepts(_ frame: [UInt8], _ control: UInt32) -> Bool {
    if frame[0] & 1 == 0 {
      let low = UInt32(frame[0]) | UInt32(frame[1]) << 8 | UInt32(frame[2]) << 16 | UInt32(frame[3]) << 24
      let high = UInt32(frame[4]) | UInt32(frame[5]) << 8 | 1 << 31
      return control & 8 != 0 || (registers[0x5400] == low && registers[0x5404] == high)
    }
    if frame[..<6].allSatisfy({ $0 == 0xFF }) { return control >> 15 & 1 == 1 }
    // Multicast offset 0: bits 47:36.
    let bit = Int(frame[5]) << 4 | Int(frame[4]) >> 4
    return control & 0x10 != 0 || (registers[0x5200 + bit / 32 * 4] ?? 0) >> UInt32(bit % 32) & 1 == 1
  }
}

extension [UInt8] {
  func get16(_ offset: Int) -> UInt16 { UInt16(self[offset]) << 8 | UInt16(self[offset + 1]) }
  func get32(_ offset: Int) -> UInt32 { UInt32(get16(offset)) << 16 | UInt32(get16(offset + 2)) }
  mutating func put16(_ offset: Int, _ value: UInt16) {
    self[offset] = UInt8(value >> 8)
    self[offset + 1] = UInt8(value & 0xFF)
  }
}

/// The sum of the Internet checksum, not complemented (RFC 1071).
func internetSum(_ bytes: some Sequence<UInt8>) -> UInt16 {
  var sum: UInt32 = 0
  var isHigh = true
  for byte in bytes {
    sum += isHigh ? UInt32(byte) << 8 : UInt32(byte)
    sum = (sum & 0xFFFF) + (sum >> 16)
    isHigh.toggle()
  }
  return UInt16(sum)
}
