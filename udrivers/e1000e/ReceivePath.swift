import CBulkhead
import DriverKit

/// Frames from the wire to the outlet. A buffer is free, or with the controller, or part of the frame that is coming in, or
/// with the outlet.
struct ReceivePath: ~Copyable {
  var ring: ReceiveRing
  let buffers: FrameBuffers
  /// Stack of free buffers.
  private let free: UnsafeMutablePointer<UInt16>
  private(set) var freeCount: Int
  /// By buffer: where its frame goes on; -1 at its end.
  private let following: UnsafeMutablePointer<Int16>
  /// By buffer of a train: bytes of its payload.
  private let payloads: UnsafeMutablePointer<UInt16>

  /// Segments that become one frame, and their first and last buffer. None is left when ``poll(_:)`` returns.
  private var train = SegmentTrain()
  private var trainFirst = -1
  private var trainLast = -1

  /// The frame that is coming in: its first and last buffer, and its bytes; -1 where there is none.
  private var first = -1
  private var last = -1
  private var length = 0
  private var lastLength = 0
  private var firstLength = 0
  /// The rest of this frame is of no use.
  private var isDiscarding = false

  /// Bytes of the largest frame that can be.
  private let largest: Int
  /// Bytes of the largest frame that the outlet is to get.
  var limit: Int
  /// Whether the outlet is told that checksums are right.
  private let reportsChecksums: Bool
  private let joinsSegments: Bool
  private(set) var dropped: UInt64 = 0
  private(set) var implausible: UInt64 = 0

  init(
    buffers count: Int, largest: Int, reportsChecksums: Bool, joinsSegments: Bool, bar: Bar, arena: inout Arena
  ) throws(DriverFailure) {
    // Half of the buffers wait for frames, half are on their way through the outlet.
    let ring = try ReceiveRing(entries: max(8, count / 2 & ~7), bar: bar, arena: &arena)
    buffers = try FrameBuffers(
      count: count, capacity: ReceiveRing.bufferSize, .packed, arena: &arena, for: "inbound frames")
    self.ring = ring
    free = .allocate(capacity: count)
    following = .allocate(capacity: count)
    payloads = .allocate(capacity: count)
    payloads.initialize(repeating: 0, count: count)
    for index in 0..<count {
      (free + index).initialize(to: UInt16(count - 1 - index))
      (following + index).initialize(to: -1)
    }
    freeCount = count
    self.largest = largest
    limit = largest
    self.reportsChecksums = reportsChecksums
    self.joinsSegments = joinsSegments
  }

  deinit {
    free.deallocate()
    following.deallocate()
    payloads.deallocate()
  }

  @inline(__always)
  private mutating func release(_ buffer: Int) {
    free[freeCount] = UInt16(truncatingIfNeeded: buffer)
    freeCount += 1
  }

  /// Releases `buffer` and what follows it.
  @inline(__always)
  private mutating func releaseChain(_ buffer: Int) {
    var buffer = buffer
    while buffer >= 0 {
      let next = Int(following[buffer])
      following[buffer] = -1
      release(buffer)
      buffer = next
    }
  }

  /// Gives the controller as many buffers as there are.
  @inline(__always)
  mutating func refill() {
    while freeCount > 0, ring.hasRoom {
      freeCount -= 1
      let buffer = Int(free[freeCount])
      ring.fill(buffer, address: buffers.frameAddress(buffer))
    }
    ring.ring()
  }

  /// Begins anew after a reset.
  mutating func program() {
    while let buffer = ring.takeBack() { release(buffer) }
    abandon()
    isDiscarding = false
    ring.program()
  }

  /// Drops the frame that is coming in.
  private mutating func abandon() {
    if first >= 0 { releaseChain(first) }
    (first, last, length) = (-1, -1, 0)
  }

  /// Gives the frames that have come to the outlet.
  /// - Returns: whether there were any.
  mutating func poll(_ queue: NetworkQueue) -> Bool {
    var found = false
    // A controller that lies without end must not keep the loop from its other work.
    for _ in 0..<ring.entries {
      guard let piece = ring.next() else { break }
      found = true
      if isDiscarding {
        release(piece.buffer)
        isDiscarding = !piece.isLast
      } else if !add(piece) {
        implausible &+= 1
        release(piece.buffer)
        abandon()
        isDiscarding = !piece.isLast
      } else if piece.isLast {
        finish(piece, queue)
      }
    }
    endTrain(queue)
    if found { refill() }
    return found
  }

  /// Adds a piece to the frame that is coming in.
  /// - Returns: false for what no controller reports: a piece longer than its buffer, a frame that goes on although there is
  ///   room, or one that is longer than any frame.
  @inline(__always)
  private mutating func add(_ piece: ReceivedPiece) -> Bool {
    let bytes = piece.length
    guard bytes <= ReceiveRing.bufferSize, piece.isLast || bytes == ReceiveRing.bufferSize, length + bytes <= largest
    else { return false }
    // Only the check sequence, which was taken off, may have been in the last buffer of several.
    if bytes == 0 {
      guard first >= 0 else { return false }
      release(piece.buffer)
      return true
    }
    if first < 0 {
      first = piece.buffer
      firstLength = bytes
    } else {
      following[last] = Int16(truncatingIfNeeded: piece.buffer)
      lastLength = bytes
    }
    last = piece.buffer
    length += bytes
    return true
  }

  @inline(__always)
  private mutating func finish(_ piece: ReceivedPiece, _ queue: NetworkQueue) {
    guard !piece.isDamaged, length >= NetworkClass.minimumFrame, length <= limit else {
      if piece.isDamaged || length > limit { dropped &+= 1 } else { implausible &+= 1 }
      return abandon()
    }
    let header = buffers.frame(first) - NetworkClass.headerSize
    let isValid = reportsChecksums && piece.hasGoodChecksum
    // The header is 4-byte aligned at least: the frame begins on a cache line.
    bh_store32(header, isValid ? UInt32(NetworkClass.flagDataValid) : 0)
    bh_store64(header + 4, 0)
    if joinsSegments, isValid, first == last, let segment = TCPSegment(buffers.frame(first), length: length) {
      couple(segment, queue)
    } else {
      endTrain(queue)
      describe(queue)
      queue.offer(first)
    }
    (first, last, length) = (-1, -1, 0)
  }

  /// Makes the frame that has come part of the train, or the beginning of the next one.
  @inline(__always)
  private mutating func couple(_ segment: TCPSegment, _ queue: NetworkQueue) {
    payloads[first] = UInt16(truncatingIfNeeded: segment.payload)
    if trainFirst >= 0, train.join(segment) {
      following[trainLast] = Int16(truncatingIfNeeded: first)
    } else {
      endTrain(queue)
      train.begin(segment)
      trainFirst = first
    }
    trainLast = first
    if train.isComplete { endTrain(queue) }
  }

  /// Offers the train: of its first frame all, of the others the payload.
  @inline(__always)
  private mutating func endTrain(_ queue: NetworkQueue) {
    guard trainFirst >= 0 else { return }
    let headers = train.headers
    train.finish()
    var next = Int(following[trainFirst])
    queue.setFragment(
      trainFirst, address: buffers.headerAddress(trainFirst),
      length: UInt32(NetworkClass.headerSize + headers) + UInt32(payloads[trainFirst]), next: next < 0 ? nil : next)
    while next >= 0 {
      let buffer = next
      next = Int(following[buffer])
      queue.setFragment(
        buffer, address: buffers.frameAddress(buffer) + UInt64(headers), length: UInt32(payloads[buffer]),
        next: next < 0 ? nil : next)
    }
    queue.offer(trainFirst)
    (trainFirst, trainLast) = (-1, -1)
  }

  /// Writes the descriptors of the frame; all but the last piece fill their buffers.
  @inline(__always)
  private func describe(_ queue: NetworkQueue) {
    queue.setFragment(
      first, address: buffers.headerAddress(first), length: UInt32(NetworkClass.headerSize + firstLength),
      next: first == last ? nil : Int(following[first]))
    guard first != last else { return }
    var buffer = Int(following[first])
    while buffer != last {
      let next = Int(following[buffer])
      queue.setFragment(
        buffer, address: buffers.frameAddress(buffer), length: UInt32(ReceiveRing.bufferSize), next: next)
      buffer = next
    }
    queue.setFragment(last, address: buffers.frameAddress(last), length: UInt32(lastLength), next: nil)
  }

  /// Takes back what the outlet has read.
  /// - Returns: whether there was anything.
  mutating func reclaim(_ queue: NetworkQueue) throws(DriverFailure) -> Bool {
    var found = false
    while let completion = try queue.next() {
      found = true
      releaseChain(completion.head)
    }
    if found { refill() }
    // Without buffers the controller drops frames, and says nothing: then the outlet has to wake the driver.
    queue.wantsWake = ring.filled < ring.entries / 2
    return found
  }
}
