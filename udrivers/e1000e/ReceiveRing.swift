import CBulkhead
import DriverKit

/// What a receive descriptor says of the piece of a frame in its buffer: the legacy format, datasheet 7.1.4.
struct ReceivedPiece {
  let buffer: Int
  /// The descriptor's second half: length 15:0, checksum 31:16, status 39:32, errors 47:40, VLAN tag 63:48.
  let word: UInt64

  /// Bytes, as the controller says.
  var length: Int { Int(word & 0xFFFF) }
  /// EOP: the frame ends here. The fields below count only then.
  var isLast: Bool { word >> 33 & 1 == 1 }
  /// CE, SE, SEQ, CXE, RXE: the frame is damaged.
  var isDamaged: Bool { word >> 40 & 0x97 != 0 }
  /// IXSM is 0, a TCP or UDP checksum was looked at (TCPCS, UDPCS), and neither TCPE nor IPE says that it is wrong.
  var hasGoodChecksum: Bool { word >> 34 & 1 == 0 && word >> 36 & 3 != 0 && word >> 45 & 3 == 0 }
}

/// The ring of receive descriptors: datasheet 7.1.8.
///
/// Which buffer is where is kept in private memory, and only descriptors that were filled are looked at: what a controller
/// writes elsewhere means nothing.
struct ReceiveRing: ~Copyable {
  /// Bytes that a descriptor's buffer takes (RCTL.BSIZE 0).
  static let bufferSize = 2048
  private static let done: UInt64 = 1 << 32
  /// Buffers that the controller is told of at once.
  private static let batch = 16

  let entries: Int
  let memory: DMAMemory
  private let bar: Bar
  private let buffers: UnsafeMutablePointer<UInt16>
  /// Next descriptor to be looked at, next one to be filled, and what the controller was told of the latter.
  private var head = 0
  private var tail = 0
  private var shownTail = 0
  /// Descriptors that the controller has.
  private(set) var filled = 0

  /// - Parameter entries: a multiple of 8.
  init(entries: Int, bar: Bar, arena: inout Arena) throws(DriverFailure) {
    precondition(entries % 8 == 0, "RDLEN counts in 128 bytes")
    memory = try arena.allocate(entries * 16, for: "receive descriptors")
    self.entries = entries
    self.bar = bar
    buffers = .allocate(capacity: entries)
    buffers.initialize(repeating: 0, count: entries)
  }

  deinit { buffers.deallocate() }

  /// A full ring has one free descriptor: head and tail being equal means that it is empty.
  @inline(__always) var hasRoom: Bool { filled < entries - 1 }

  /// Tells the controller where the ring is, and that it is empty.
  mutating func program() {
    (head, tail, shownTail, filled) = (0, 0, 0, 0)
    memory.zero()
    bar.write(AdapterRegister.receiveBaseLow, UInt32(truncatingIfNeeded: memory.address))
    bar.write(AdapterRegister.receiveBaseHigh, UInt32(truncatingIfNeeded: memory.address >> 32))
    bar.write(AdapterRegister.receiveLength, UInt32(entries * 16))
    bar.write(AdapterRegister.receiveHead, 0)
    bar.write(AdapterRegister.receiveTail, 0)
    bar.write(AdapterRegister.receiveDelay, 0)
    bar.write(AdapterRegister.receiveAbsoluteDelay, 0)
    bar.write(AdapterRegister.receiveDescriptorControl, DescriptorControl.writeBackEach)
  }

  @inline(__always)
  private func wrapped(_ index: Int) -> Int { index == entries ? 0 : index }

  /// Gives the controller buffer `buffer`, whose ``bufferSize`` bytes are at `address`; it sees it when ``ring()`` tells it.
  @inline(__always)
  mutating func fill(_ buffer: Int, address: UInt64) {
    let place = memory.pointer + tail * 16
    bh_store64(place, address)
    bh_store64(place + 8, 0)
    buffers[tail] = UInt16(truncatingIfNeeded: buffer)
    tail = wrapped(tail + 1)
    filled += 1
  }

  /// Tells the controller of new buffers, as soon as there are enough of them or it has few left: a write to a register costs
  /// more than a frame. What is few is more than the largest frame needs.
  @inline(__always)
  mutating func ring() {
    let new = tail >= shownTail ? tail - shownTail : tail + entries - shownTail
    guard new > 0, new >= Self.batch || filled - new < max(entries / 4, Self.batch / 2) else { return }
    bh_dma_write_barrier()
    bar.write(AdapterRegister.receiveTail, UInt32(tail))
    shownTail = tail
  }

  /// Whether the controller says that it has used up its buffers although it has filled none of those that are left: one that
  /// has reported more than it got, and that would receive nothing any more. Reads a register, behind which the controller's
  /// writes have arrived.
  func isLost() -> Bool {
    let new = tail >= shownTail ? tail - shownTail : tail + entries - shownTail
    guard filled > new, bar.read(AdapterRegister.receiveHead) == UInt32(shownTail) else { return false }
    return bh_load64(memory.pointer + head * 16 + 8) & Self.done == 0
  }

  /// Takes the next piece that has come. All that the controller says of it is in one load.
  @inline(__always)
  mutating func next() -> ReceivedPiece? {
    guard filled > 0 else { return nil }
    let word = bh_load64(memory.pointer + head * 16 + 8)
    guard word & Self.done != 0 else { return nil }
    bh_dma_read_barrier()
    return ReceivedPiece(buffer: takeHead(), word: word)
  }

  /// Takes a buffer back that the controller no longer uses, since it was reset.
  mutating func takeBack() -> Int? { filled > 0 ? takeHead() : nil }

  @inline(__always)
  private mutating func takeHead() -> Int {
    defer {
      head = wrapped(head + 1)
      filled -= 1
    }
    return Int(buffers[head])
  }
}
