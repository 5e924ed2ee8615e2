import Broker
import Glibc
import Platform
import Protocol
import Virtqueue

/// The broker's own way to carry frames between a driver's rings and a TAP, where the kernel has no vhost-net.
///
/// It runs on the broker's loop. Nothing is allocated and no reference is counted for a frame.
package final class TAPWorker<Port: FramePort> {
  private let loop: EventLoop
  private var spin: AdaptiveSpin
  /// As many as are served; none while there is no driver.
  private let pairs: UnsafeMutablePointer<WorkerPair<Port>>
  private let capacity: Int
  private var count = 0
  private var tapTokens: [EventLoop.Token] = []
  private var callTokens: [EventLoop.Token] = []
  private var onGone: () -> Void = {}
  /// What the loop waits for at each TAP queue.
  private let awaited: UnsafeMutablePointer<Int32>
  /// Set by the loop's handlers, which thus need no reference to the worker: the interface is gone.
  private let isGone: UnsafeMutablePointer<Bool>
  /// Something was carried since the loop slept last.
  private var hasWorked = false
  private var isArmed = false
  package private(set) var counters = WorkerCounters()
  /// What the driver did that ends its service, and in which pair. Nothing is carried any more.
  package private(set) var fault: (fault: RingFault, pair: Int)?

  /// - Parameter spin: how long to look on after the last frame before sleeping.
  package init(loop: EventLoop, pairs: Int, spin: Nanoseconds) {
    self.loop = loop
    self.spin = AdaptiveSpin(limit: spin)
    capacity = pairs
    self.pairs = .allocate(capacity: pairs)
    awaited = .allocate(capacity: pairs)
    isGone = .allocate(capacity: 1)
    isGone.initialize(to: false)
  }

  deinit {
    pairs.deinitialize(count: count)
    pairs.deallocate()
    awaited.deallocate()
    isGone.deallocate()
  }

  /// Begins with fresh rings.
  /// - Parameters:
  ///   - ports: one for each pair, with the file to wait for.
  ///   - onGone: called once, when the interface behind the files is gone; nothing is carried any more then.
  package func start(
    _ queues: DriverQueues, ports: [(port: Port, file: Int32)], onGone: @escaping () -> Void = {}
  ) {
    precondition(count == 0 && ports.count <= capacity && ports.count * 2 <= queues.count, "one driver at a time")
    fault = nil
    hasWorked = false
    isArmed = false
    self.onGone = onGone
    let arena = ArenaView(queues.arena)
    for (index, port) in ports.enumerated() {
      let source = { (direction: NetworkClass.Direction) in
        let queue = 2 * index + direction.rawValue
        return ChainSource(
          memory: queues.base + queue * queues.layout.stride, layout: queues.layout.queue, arena: arena,
          direction: direction, wake: queues.kicks[queue])
      }
      (pairs + index).initialize(
        to: WorkerPair(port: port.port, outbound: source(.outbound), inbound: source(.inbound)))
      (awaited + index).initialize(to: 0)
      tapTokens.append(
        loop.watch(port.file, events: 0) { [isGone] events in
          // Of a TAP without its interface poll(2) says so for ever: that would keep the loop from sleeping.
          if events & Int16(POLLERR | POLLHUP | POLLNVAL) != 0 { isGone.pointee = true }
        })
    }
    for call in queues.calls.prefix(ports.count * 2) {
      callTokens.append(loop.watch(call) { _ in EventDescriptor.drain(call) })
    }
    count = ports.count
  }

  /// Carries nothing more, and forgets the rings. May be called twice.
  package func stop() {
    tapTokens.forEach(loop.remove)
    callTokens.forEach(loop.remove)
    tapTokens = []
    callTokens = []
    pairs.deinitialize(count: count)
    count = 0
  }

  @inline(never)
  private func portGone() {
    isGone.pointee = false
    guard count > 0 else { return }
    stop()
    onGone()
  }

  /// Carries until there is nothing left to carry, looks on for a while, then asks to be woken.
  /// - Returns: false if the loop may sleep.
  package func poll() -> Bool {
    if isGone.pointee { portGone() }
    guard count > 0, fault == nil else { return false }
    var rounds = 0
    while true {
      if carry() {
        spin.found()
        hasWorked = true
        rounds += 1
        // The control sockets must have their turn, however busy the driver is.
        if rounds == Self.roundsPerTurn { return true }
      } else if fault != nil {
        return false
      } else if hasWorked, spin.looksOn() {
        if isArmed { disarm() }
      } else {
        spin.rest()
        if arm() {
          hasWorked = false
          return false
        }
      }
    }
  }

  private static var roundsPerTurn: Int { 16 }

  private func carry() -> Bool {
    var worked = false
    for index in 0..<count {
      do throws(RingFault) {
        if try pairs[index].carryIn(&counters) { worked = true }
        if try pairs[index].carryOut(&counters) { worked = true }
      } catch {
        fault = (error, index)
        return false
      }
    }
    return worked
  }

  /// True: asleep now, whatever comes next wakes the loop.
  private func arm() -> Bool {
    isArmed = true
    for index in 0..<count {
      guard let events = pairs[index].arm() else { return false }
      if events != awaited[index] {
        awaited[index] = events
        loop.setEvents(events, for: tapTokens[index])
      }
    }
    return true
  }

  private func disarm() {
    isArmed = false
    for index in 0..<count { pairs[index].disarm() }
  }
}
