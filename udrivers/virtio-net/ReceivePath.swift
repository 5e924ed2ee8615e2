import DriverKit

/// Frames from the wire to the outlet. A buffer is idle, or with the device, or with the outlet.
struct ReceivePath: ~Copyable {
  var ring: DeviceQueue
  let buffers: FrameBuffers
  /// Stack of idle buffers.
  private let idle: UnsafeMutablePointer<UInt16>
  private(set) var idleCount = 0
  private let limit: Int
  /// Frames are taken; otherwise the interface is down, and the device gets no buffers.
  var isOpen = false
  /// Whether the device may say something of checksums.
  private var admitsChecksums = false
  private(set) var frames: UInt64 = 0
  private(set) var octets: UInt64 = 0
  private(set) var dropped: UInt64 = 0
  private(set) var implausible: UInt64 = 0

  /// - Parameter count: the most buffers; a power of two.
  init(buffers count: Int, capacity: Int, arena: inout Arena) throws(DriverFailure) {
    let ring = try DeviceQueue(0, limit: count, arena: &arena, for: "device's receive queue")
    buffers = try FrameBuffers(count: count, capacity: capacity, arena: &arena, for: "inbound frames")
    self.ring = ring
    idle = .allocate(capacity: count)
    idle.initialize(repeating: 0, count: count)
    limit = count
  }

  deinit { idle.deallocate() }

  mutating func program(_ transport: Transport, vector: Int, _ features: Features) throws(DriverFailure) {
    try ring.program(transport, vector: vector, hasEventIndex: features.contains(.eventIndex))
    admitsChecksums = features.contains(.guestChecksum)
    idleCount = 0
    for buffer in (0..<ring.size).reversed() { release(buffer) }
  }

  @inline(__always)
  private mutating func release(_ buffer: Int) {
    idle[idleCount] = UInt16(truncatingIfNeeded: buffer)
    idleCount += 1
  }

  /// Gives the device all idle buffers.
  @inline(__always)
  mutating func refill() {
    guard isOpen else { return }
    while idleCount > 0 {
      idleCount -= 1
      let buffer = Int(idle[idleCount])
      ring.describe(buffer, address: buffers.headerAddress(buffer), length: buffers.room, isWritten: true)
      ring.post(buffer)
    }
    ring.ringBell()
  }

  /// Gives the frames that have come to the outlet.
  /// - Returns: whether there were any.
  mutating func poll(_ queue: NetworkQueue) throws(DriverFailure) -> Bool {
    var found = false
    // A device that lies without end must not keep the loop from its other work.
    for _ in 0..<limit {
      guard let used = try ring.next() else { break }
      found = true
      take(Int(used.id), Int(used.length) - NetworkClass.headerSize, queue)
    }
    if found { refill() }
    return found
  }

  @inline(__always)
  private mutating func take(_ buffer: Int, _ length: Int, _ queue: NetworkQueue) {
    guard isOpen else {
      dropped &+= 1
      return release(buffer)
    }
    do throws(FrameRefusal) {
      guard length >= NetworkClass.minimumFrame, length <= buffers.capacity else { throw .length }
      try FrameHeader(frame: buffers.frame(buffer), length: length).admit(checksums: admitsChecksums)
    } catch {
      implausible &+= 1
      return release(buffer)
    }
    frames &+= 1
    // On the wire there is the check sequence, too.
    octets &+= UInt64(length + 4)
    queue.setFragment(
      buffer, address: buffers.headerAddress(buffer), length: UInt32(NetworkClass.headerSize + length), next: nil)
    queue.offer(buffer)
  }

  /// Takes back what the outlet has read.
  /// - Returns: whether there was anything.
  mutating func reclaim(_ queue: NetworkQueue) throws(DriverFailure) -> Bool {
    var found = false
    while let completion = try queue.next() {
      found = true
      release(completion.head)
    }
    if found { refill() }
    // Without buffers the device drops frames, and says nothing: then the outlet has to wake the driver.
    queue.wantsWake = ring.outstanding < ring.size / 2
    return found
  }
}
