import CBulkhead
import DriverKit

/// The ring of transmit descriptors: context and data descriptors, datasheet 7.2.
///
/// What frame is where is kept in private memory; of the controller's only the done bit of a frame's last descriptor is
/// read.
struct TransmitRing: ~Copyable {
  /// A descriptor's memory lies in one page, of the smallest size that there is. An arena is contiguous for the device, but
  /// its pages are not in the machine's memory, and QEMU drops a frame whose descriptor it cannot map in one piece.
  static let pieceSize = 4096
  private static let done: UInt64 = 1 << 32

  /// DCMD: EOP, IFCS (add the check sequence), RS (write the status back), DEXT; DTYP 1.
  private static let endOfFrame: UInt64 = 1 << 24
  private static let insertCheckSequence: UInt64 = 1 << 25
  private static let reportStatus: UInt64 = 1 << 27
  private static let extended: UInt64 = 1 << 29
  private static let data: UInt64 = 1 << 20

  private struct Frame {
    var buffer: Int32 = -1
    /// Its last descriptor.
    var last: Int32 = 0
    /// How many it has.
    var count: Int32 = 0
  }

  let entries: Int
  let memory: DMAMemory
  private let bar: Bar
  /// By the frame's first descriptor.
  private let frames: UnsafeMutablePointer<Frame>
  private var tail = 0
  private var shownTail = 0
  private var clean = 0
  private var used = 0
  /// The context that the controller has; repeating it would cost a descriptor.
  private var context: (UInt64, UInt64) = (0, 0)
  /// Frames that the controller has.
  private(set) var pending = 0
  /// Frames that it has finished, ever: does it move?
  private(set) var finished: UInt64 = 0

  /// - Parameter entries: a multiple of 8.
  init(entries: Int, bar: Bar, arena: inout Arena) throws(DriverFailure) {
    precondition(entries % 8 == 0, "TDLEN counts in 128 bytes")
    memory = try arena.allocate(entries * 16, for: "transmit descriptors")
    self.entries = entries
    self.bar = bar
    frames = .allocate(capacity: entries)
    frames.initialize(repeating: Frame(), count: entries)
  }

  deinit { frames.deallocate() }

  /// Descriptors that a frame of `length` bytes may need, with its context, wherever it begins.
  static func need(_ length: Int) -> Int { 2 + (length + pieceSize - 1) / pieceSize }

  /// Free descriptors; one is always left, since head and tail being equal means that the ring is empty.
  @inline(__always) var room: Int { entries - 1 - used }

  /// Tells the controller where the ring is, and that it is empty.
  mutating func program() {
    (tail, shownTail, clean, used, pending, context) = (0, 0, 0, 0, 0, (0, 0))
    memory.zero()
    bar.write(AdapterRegister.transmitBaseLow, UInt32(truncatingIfNeeded: memory.address))
    bar.write(AdapterRegister.transmitBaseHigh, UInt32(truncatingIfNeeded: memory.address >> 32))
    bar.write(AdapterRegister.transmitLength, UInt32(entries * 16))
    bar.write(AdapterRegister.transmitHead, 0)
    bar.write(AdapterRegister.transmitTail, 0)
    bar.write(AdapterRegister.transmitDelay, 0)
    bar.write(AdapterRegister.transmitAbsoluteDelay, 0)
    bar.write(
      AdapterRegister.transmitDescriptorControl,
      DescriptorControl.writeBackEach | DescriptorControl.countDescriptors)
  }

  @inline(__always)
  private mutating func put(_ low: UInt64, _ high: UInt64) {
    let place = memory.pointer + tail * 16
    bh_store64(place, low)
    bh_store64(place + 8, high)
    tail = tail + 1 == entries ? 0 : tail + 1
    used += 1
  }

  /// Puts a frame into the ring; the controller sees it after ``ring()``.
  /// - Parameters:
  ///   - buffer: comes back from ``nextFinished()``.
  ///   - length: in bytes, so that ``need(_:)`` is at most ``room``.
  @inline(__always)
  mutating func push(_ buffer: Int, address: UInt64, length: Int, _ offload: Offload) {
    let first = tail
    let before = used
    if offload.hasContext, offload.isSegmented || offload.contextLow != context.0 || offload.contextHigh != context.1 {
      context = (offload.contextLow, offload.contextHigh)
      put(context.0, context.1)
    }
    let command = offload.command | Self.insertCheckSequence | Self.extended | Self.data
    var (address, left, last) = (address, length, tail)
    while left > 0 {
      let piece = min(left, Self.pieceSize - Int(truncatingIfNeeded: address) & (Self.pieceSize - 1))
      let ending = piece == left ? Self.endOfFrame | Self.reportStatus : 0
      last = tail
      put(address, command | ending | UInt64(piece))
      address += UInt64(piece)
      left -= piece
    }
    frames[first] = Frame(
      buffer: Int32(truncatingIfNeeded: buffer), last: Int32(truncatingIfNeeded: last),
      count: Int32(truncatingIfNeeded: used - before))
    pending += 1
  }

  /// Tells the controller of new frames, if there are any.
  @inline(__always)
  mutating func ring() {
    guard tail != shownTail else { return }
    bh_dma_write_barrier()
    bar.write(AdapterRegister.transmitTail, UInt32(tail))
    shownTail = tail
  }

  /// Takes the buffer of the oldest frame, if the controller has finished it.
  @inline(__always)
  mutating func nextFinished() -> Int? {
    guard pending > 0 else { return nil }
    let frame = frames[clean]
    guard bh_load64(memory.pointer + Int(frame.last) * 16 + 8) & Self.done != 0 else { return nil }
    finished &+= 1
    return takeOldest(frame)
  }

  /// Takes a buffer back that the controller no longer uses, since it was reset.
  mutating func takeBack() -> Int? { pending > 0 ? takeOldest(frames[clean]) : nil }

  @inline(__always)
  private mutating func takeOldest(_ frame: Frame) -> Int {
    let next = Int(frame.last) + 1
    clean = next == entries ? 0 : next
    used -= Int(frame.count)
    pending -= 1
    return Int(frame.buffer)
  }
}
