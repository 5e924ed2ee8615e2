import DriverKit

/// Frames from the outlet to the wire. A buffer is with the outlet, which fills it, or with the device.
struct TransmitPath: ~Copyable {
  var ring: DeviceQueue
  let buffers: FrameBuffers
  private var features: Features = []
  /// Bytes of the largest frame on the wire, without its check sequence.
  var largest = 0
  /// Frames are sent; otherwise they are dropped, since the interface is down.
  var isOpen = false
  /// Runs while there are frames to be sent.
  var watch = TransmitWatch()
  private(set) var frames: UInt64 = 0
  private(set) var octets: UInt64 = 0
  private(set) var segmented: UInt64 = 0
  private(set) var dropped: UInt64 = 0
  private var log = LogLimit()

  /// - Parameters:
  ///   - count: the most buffers; a power of two.
  ///   - capacity: bytes of the largest frame that the outlet may give.
  init(buffers count: Int, capacity: Int, arena: inout Arena) throws(DriverFailure) {
    let ring = try DeviceQueue(1, limit: count, arena: &arena, for: "device's transmit queue")
    buffers = try FrameBuffers(count: count, capacity: capacity, arena: &arena, for: "outbound frames")
    self.ring = ring
  }

  /// - Parameter queue: gets every buffer.
  mutating func program(
    _ transport: Transport, vector: Int, _ features: Features, _ queue: NetworkQueue
  ) throws(DriverFailure) {
    try ring.program(transport, vector: vector, hasEventIndex: features.contains(.eventIndex))
    self.features = features
    for buffer in 0..<ring.size { offer(buffer, queue) }
  }

  @inline(__always)
  private func offer(_ buffer: Int, _ queue: NetworkQueue) {
    queue.offerBuffer(
      buffer, address: buffers.headerAddress(buffer), length: UInt32(truncatingIfNeeded: buffers.room))
  }

  /// Takes frames from the outlet. There is room for all of them: the device has a descriptor for each buffer.
  /// - Returns: whether there were any.
  mutating func take(_ queue: NetworkQueue) throws(DriverFailure) -> Bool {
    var found = false
    while let completion = try queue.next() {
      found = true
      send(completion, queue)
    }
    ring.ringBell()
    return found
  }

  @inline(__always)
  private mutating func send(_ completion: NetworkCompletion, _ queue: NetworkQueue) {
    let buffer = completion.head
    let length = completion.length - NetworkClass.headerSize
    guard isOpen else { return offer(buffer, queue) }
    do throws(FrameRefusal) {
      guard length <= buffers.capacity else { throw .length }
      if try FrameHeader(frame: buffers.frame(buffer), length: length).release(features, largest: largest) {
        segmented &+= 1
      }
    } catch { return refuse(completion, error, queue) }
    frames &+= 1
    octets &+= UInt64(length + 4)
    ring.describe(
      buffer, address: buffers.headerAddress(buffer), length: completion.length, isWritten: false)
    ring.post(buffer)
  }

  @inline(never)
  private mutating func refuse(_ completion: NetworkCompletion, _ reason: FrameRefusal, _ queue: NetworkQueue) {
    dropped &+= 1
    if log.permits() {
      Log.warning("outbound frame of \(completion.length) bytes dropped: \(reason.rawValue)\(log.remark())")
    }
    offer(completion.head, queue)
  }

  /// Gives the buffers of frames that are sent back to the outlet.
  /// - Returns: whether there were any.
  @inline(__always)
  mutating func reclaim(_ queue: NetworkQueue) throws(DriverFailure) -> Bool {
    var found = false
    while let used = try ring.next() {
      found = true
      offer(Int(used.id), queue)
    }
    return found
  }

  /// Frames that are sent interrupt only when the outlet may run out of buffers.
  @inline(__always)
  func arm() {
    if ring.outstanding > ring.size / 2 { ring.arm() } else { ring.disarm() }
  }
}
