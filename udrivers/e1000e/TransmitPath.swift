import DriverKit

/// Frames from the outlet to the wire. A buffer is with the outlet, which fills it, or with the controller.
struct TransmitPath: ~Copyable {
  var ring: TransmitRing
  let buffers: FrameBuffers
  /// Descriptors that any frame may need.
  private let reserve: Int
  /// Bytes of the largest frame on the wire, without its check sequence.
  private let largest: Int
  /// Bytes of the shortest frame that the controller pads (TCTL.PSP). Fewer are not in its datasheet; Linux gives it no less.
  private static let shortest = 17
  /// Frames are sent; otherwise they are dropped, since the interface is down.
  var isOpen = false
  /// Runs while there are frames to be sent.
  var watch = TransmitWatch()
  private(set) var dropped: UInt64 = 0
  private var log = LogLimit()

  /// - Parameter capacity: bytes of the largest frame that the outlet may give.
  init(
    buffers count: Int, capacity: Int, largest: Int, bar: Bar, arena: inout Arena
  ) throws(DriverFailure) {
    let ring = try TransmitRing(entries: max(64, min(1024, count * 4)) & ~7, bar: bar, arena: &arena)
    buffers = try FrameBuffers(count: count, capacity: capacity, .paged, arena: &arena, for: "outbound frames")
    self.ring = ring
    reserve = TransmitRing.need(capacity)
    self.largest = largest
  }

  /// Offers every buffer; once, when the driver starts.
  mutating func offerAll(_ queue: NetworkQueue) { for buffer in 0..<buffers.count { offer(buffer, queue) } }

  @inline(__always)
  private func offer(_ buffer: Int, _ queue: NetworkQueue) {
    queue.offerBuffer(
      buffer, address: buffers.headerAddress(buffer), length: UInt32(NetworkClass.headerSize + buffers.capacity))
  }

  /// Somebody waits for frames to be sent: the next one has no room, or the outlet soon has no buffers. Else buffers come
  /// back when the driver is awake anyway, and no interrupt is spent on them.
  @inline(__always) var wantsInterrupt: Bool { ring.room < reserve || ring.pending * 4 >= buffers.count }

  /// Takes frames from the outlet, as many as there is room for.
  /// - Returns: whether there were any.
  mutating func take(_ queue: NetworkQueue) throws(DriverFailure) -> Bool {
    var found = false
    while ring.room >= reserve, let completion = try queue.next() {
      found = true
      send(completion, queue)
    }
    if found { ring.ring() }
    return found
  }

  @inline(__always)
  private mutating func send(_ completion: NetworkCompletion, _ queue: NetworkQueue) {
    let length = completion.length - NetworkClass.headerSize
    do throws(OutboundRefusal) {
      guard length <= buffers.capacity else { throw .length }
      guard isOpen else { return offer(completion.head, queue) }
      let frame = OutboundFrame(bytes: buffers.frame(completion.head), length: length)
      let offload = try frame.plan(largest: largest)
      ring.push(
        completion.head, address: buffers.frameAddress(completion.head), length: frame.padded(to: Self.shortest),
        offload)
    } catch { refuse(completion, error, queue) }
  }

  @inline(never)
  private mutating func refuse(_ completion: NetworkCompletion, _ reason: OutboundRefusal, _ queue: NetworkQueue) {
    dropped &+= 1
    if log.permits() {
      Log.warning("outbound frame of \(completion.length) bytes dropped: \(reason.rawValue)\(log.remark())")
    }
    offer(completion.head, queue)
  }

  /// Gives the buffers of frames that are sent back to the outlet.
  /// - Returns: whether there were any.
  @inline(__always)
  mutating func reclaim(_ queue: NetworkQueue) -> Bool {
    var found = false
    while let buffer = ring.nextFinished() {
      found = true
      offer(buffer, queue)
    }
    return found
  }

  /// Begins anew after a reset; what was not sent is lost.
  mutating func program(_ queue: NetworkQueue) {
    while let buffer = ring.takeBack() { offer(buffer, queue) }
    ring.program()
  }
}
