import CBulkhead
import Glibc
import Virtqueue

/// What one queue has done, for the log.
public struct BlockQueueCounters: Sendable {
  public var requests: UInt64 = 0
  public var errors: UInt64 = 0
  /// Chains that were no requests.
  public var malformed: UInt64 = 0
}

/// One queue of requests from the broker.
///
/// A handle of one word; the state behind it lives as long as the device. Completions are gathered and shown to the
/// broker when the driver's callback has returned, with at most one call for all of them.
public struct BlockQueue {
  struct State: ~Copyable {
    var ring: VirtqueueDevice
    let space: BlockRequestSpace
    let index: Int
    let call: Int32
    let chain: UnsafeMutablePointer<VirtqueueDescriptor>
    var counters = BlockQueueCounters()
    var malformedLog = LogLimit()
  }

  /// header, payload, status.
  private static let longestChain = 3

  let state: UnsafeMutablePointer<State>

  /// - Parameters:
  ///   - memory: of this queue, `layout.stride` bytes.
  ///   - address: of `memory` in descriptors.
  init(
    index: Int, memory: UnsafeMutableRawPointer, address: UInt64, layout: SlottedQueueLayout, payloadSize: Int,
    call: Int32
  ) {
    let payload = AddressMap.payload..<AddressMap.payload + UInt64(payloadSize)
    state = .allocate(capacity: 1)
    state.initialize(
      to: State(
        ring: VirtqueueDevice(memory: memory, layout: layout.queue),
        space: BlockRequestSpace(base: memory, address: address, layout: layout, payload: payload), index: index,
        call: call, chain: .allocate(capacity: Self.longestChain)))
  }

  func release() {
    state.pointee.chain.deallocate()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  /// Which queue this is, from 0.
  public var index: Int { state.pointee.index }
  /// The most requests that can be outstanding on it.
  public var depth: Int { state.pointee.space.layout.slots }
  /// Requests taken and not yet completed.
  public var outstanding: Int { state.pointee.ring.outstanding }
  public var counters: BlockQueueCounters { state.pointee.counters }

  /// Takes the next request. What is not a request is answered here with EINVAL and counted.
  /// - Returns: nil where there is none now.
  /// - Throws: ``FailureCode/protocolError`` when the ring itself makes no sense.
  public func next() throws(DriverFailure) -> BlockRequest? {
    while true {
      let head: UInt16
      do throws(VirtqueueError) {
        guard let available = try state.pointee.ring.nextAvailable() else { return nil }
        head = available
      } catch { throw failure(error) }
      if let request = take(head) {
        state.pointee.counters.requests &+= 1
        return request
      }
    }
  }

  @inline(never)
  private func failure(_ error: VirtqueueError) -> DriverFailure {
    DriverFailure(.protocolError, "queue \(index): \(error)")
  }

  private func take(_ head: UInt16) -> BlockRequest? {
    var statusOffset: Int?
    do throws(BlockRequestError) {
      let chain = state.pointee.chain
      let count = copyChain(head)
      guard count > 0 else { throw .chain }
      let place = try state.pointee.space.statusOffset(of: chain[count - 1])
      statusOffset = place
      return try state.pointee.space.parse(chain, count: count, head: head, statusOffset: place)
    } catch {
      refuse(head, statusOffset, error)
      return nil
    }
  }

  /// - Returns: the number of descriptors, 0 for what is no chain.
  private func copyChain(_ head: UInt16) -> Int {
    let room = UnsafeMutableBufferPointer(start: state.pointee.chain, count: Self.longestChain)
    do throws(VirtqueueError) { return try state.pointee.ring.copyChain(from: head, into: room) } catch { return 0 }
  }

  @inline(never)
  private func refuse(_ head: UInt16, _ statusOffset: Int?, _ reason: BlockRequestError) {
    state.pointee.counters.malformed &+= 1
    if state.pointee.malformedLog.permits() {
      let remark = state.pointee.malformedLog.remark()
      Log.warning("queue \(index): malformed request \(head): \(reason.rawValue)\(remark)")
    }
    guard let statusOffset else { return state.pointee.ring.complete(head: head, length: 0) }
    finish(head, tag: 0, statusOffset, .ioError, EINVAL, length: UInt32(BlockClass.statusSize))
  }

  /// Answers `request`: `errno` 0 is success, EOPNOTSUPP says that the unit cannot do it at all, everything else is an
  /// I/O error with its cause, or EIO where it is none of a device (``BlockClass/isCause(_:)``).
  public func complete(_ request: BlockRequest, errno: Int32 = 0) {
    var length = UInt32(BlockClass.statusSize)
    var status = BlockClass.Status.ok
    var cause = errno
    if errno == 0 {
      if request.type == .read { length += request.length }
    } else {
      status = errno == EOPNOTSUPP ? .unsupported : .ioError
      if !BlockClass.isCause(errno) { cause = EIO }
      state.pointee.counters.errors &+= 1
    }
    finish(request.head, tag: request.tag, request.statusOffset, status, cause, length: length)
  }

  @inline(__always)
  private func finish(
    _ head: UInt16, tag: UInt32, _ offset: Int, _ status: BlockClass.Status, _ errno: Int32, length: UInt32
  ) {
    // status u8, zero u8, errno u16, tag u32 in one store: the broker never sees half of it.
    let errno = UInt64(UInt16(truncatingIfNeeded: errno))
    bh_store64(state.pointee.space.base + offset, UInt64(status.rawValue) | errno << 16 | UInt64(tag) << 32)
    state.pointee.ring.complete(head: head, length: length)
  }

  /// Shows the broker what was completed, and calls it where it asked for that.
  @inline(__always)
  func flush() {
    if state.pointee.ring.publish() { EventDescriptor.signal(state.pointee.call) }
  }

  /// From now on new requests wake this process. The caller must look once more before it sleeps.
  func armKick() { _ = state.pointee.ring.enableKicks() }

  func disarmKick() { state.pointee.ring.disableKicks() }
}
