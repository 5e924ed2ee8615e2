import CBulkhead
import Virtqueue

/// What the outlet gave back: the head of a chain, and how many bytes of it were written.
public struct NetworkCompletion: Equatable, Sendable {
  /// A descriptor whose chain was offered before and is the driver's again.
  public var head: Int
  /// Bytes, header and frame; 0 for a chain that was read.
  public var length: Int
}

/// What one queue has done, for the log.
public struct NetworkQueueCounters: Sendable {
  /// Chains offered, and chains that came back.
  public var offered: UInt64 = 0
  public var completed: UInt64 = 0
}

/// One virtqueue of the network class, of which the driver is the guest.
///
/// The driver owns the descriptors: it decides which of them stands for which buffer, and keeps in memory of its own how
/// chains hang together. A handle of one word; the state behind it lives as long as the device. What is offered becomes
/// visible when the driver's callback has returned, with at most one wake for all of it.
public struct NetworkQueue {
  struct State: ~Copyable {
    var ring: VirtqueueGuest
    let memory: UnsafeMutableRawPointer
    let layout: VirtqueueLayout
    let index: Int
    let call: Int32
    let arena: Range<UInt64>
    /// By descriptor: whether it is the head of a chain that the outlet has.
    let isOffered: UnsafeMutablePointer<Bool>
    var wantsWake: Bool
    var counters = NetworkQueueCounters()
  }

  let state: UnsafeMutablePointer<State>

  /// - Parameters:
  ///   - memory: of this queue, `layout.byteCount` bytes.
  ///   - arena: the device's addresses that a descriptor may name.
  init(index: Int, memory: UnsafeMutableRawPointer, layout: VirtqueueLayout, arena: Range<UInt64>, call: Int32) {
    let isOffered = UnsafeMutablePointer<Bool>.allocate(capacity: layout.size)
    isOffered.initialize(repeating: false, count: layout.size)
    state = .allocate(capacity: 1)
    state.initialize(
      to: State(
        ring: VirtqueueGuest(memory: memory, layout: layout), memory: memory, layout: layout, index: index, call: call,
        arena: arena,
        isOffered: isOffered, wantsWake: NetworkClass.direction(ofQueue: index) == .outbound))
  }

  func release() {
    state.pointee.isOffered.deallocate()
    state.deinitialize(count: 1)
    state.deallocate()
  }

  /// Which virtqueue this is, from 0.
  public var index: Int { state.pointee.index }
  public var direction: NetworkClass.Direction { NetworkClass.direction(ofQueue: index) }
  /// Descriptors.
  public var size: Int { state.pointee.ring.size }
  /// Chains that the outlet has.
  public var outstanding: Int { state.pointee.ring.outstanding }
  public var counters: NetworkQueueCounters { state.pointee.counters }

  /// Whether what comes back on this queue wakes a sleeping driver. At first so for outbound queues only: a buffer that
  /// the outlet has read is not urgent, as long as there are others.
  public var wantsWake: Bool {
    get { state.pointee.wantsWake }
    nonmutating set { state.pointee.wantsWake = newValue }
  }

  /// Writes one descriptor of a frame that the outlet is to read.
  /// - Parameters:
  ///   - address: the device's address, in the arena.
  ///   - next: the descriptor in which the frame goes on, or nil.
  @inline(__always)
  public func setFragment(_ descriptor: Int, address: UInt64, length: UInt32, next: Int?) {
    checkRange(address, length)
    state.pointee.ring.setDescriptor(
      descriptor,
      VirtqueueDescriptor(
        address: address, length: length, flags: next == nil ? 0 : VirtqueueDescriptor.flagNext,
        next: UInt16(truncatingIfNeeded: next ?? 0)))
  }

  /// Offers the chain that begins with `head`: virtio header and frame, to be read.
  @inline(__always)
  public func offer(_ head: Int) {
    precondition(!state.pointee.isOffered[head], "the outlet has this chain already")
    state.pointee.isOffered[head] = true
    state.pointee.ring.submit(head: head)
    state.pointee.counters.offered &+= 1
  }

  /// Offers an empty buffer of one descriptor, for the outlet to write a header and a frame into.
  @inline(__always)
  public func offerBuffer(_ descriptor: Int, address: UInt64, length: UInt32) {
    checkRange(address, length)
    state.pointee.ring.setDescriptor(
      descriptor, VirtqueueDescriptor(address: address, length: length, flags: VirtqueueDescriptor.flagWrite))
    offer(descriptor)
  }

  /// The device side would refuse it, and stop the queue for good.
  @inline(__always)
  private func checkRange(_ address: UInt64, _ length: UInt32) {
    let arena = state.pointee.arena
    precondition(
      address >= arena.lowerBound && address <= arena.upperBound && UInt64(length) <= arena.upperBound - address,
      "a buffer outside the arena")
  }

  /// Takes the next chain that the outlet is done with.
  /// - Returns: nil where there is none now.
  /// - Throws: ``FailureCode/protocolError`` when the ring makes no sense, or a chain comes back that was not offered.
  @inline(__always)
  public func next() throws(DriverFailure) -> NetworkCompletion? {
    let used: UsedElement?
    do throws(VirtqueueError) { used = try state.pointee.ring.nextUsed() } catch { throw failure(error) }
    guard let used else { return nil }
    let head = Int(used.id)
    guard state.pointee.isOffered[head] else { throw unknown(head) }
    state.pointee.isOffered[head] = false
    state.pointee.counters.completed &+= 1
    return NetworkCompletion(head: head, length: Int(used.length))
  }

  @inline(never)
  private func failure(_ error: VirtqueueError) -> DriverFailure {
    DriverFailure(.protocolError, "queue \(index): \(error)")
  }

  @inline(never)
  private func unknown(_ head: Int) -> DriverFailure {
    DriverFailure(.protocolError, "queue \(index): chain \(head) came back and was not offered")
  }

  /// Shows the outlet what was offered, and wakes it where it asked for that.
  @inline(__always)
  package func flush() {
    if state.pointee.ring.publish() { EventDescriptor.signal(state.pointee.call) }
  }

  /// From now on what comes back wakes this process, if it is wanted. The caller must look once more before it sleeps.
  func armWake() { if state.pointee.wantsWake { _ = state.pointee.ring.enableCalls() } }

  func disarmWake() { state.pointee.ring.disableCalls() }
}
