import CBulkhead
import Glibc
import Virtqueue

/// The device as its driver sees it: registers, DMA memory, interrupts, config space, queues, timers; nothing else
/// exists for this process.
public final class Device {
  /// What the broker gave.
  public let grant: DeviceGrant
  /// DMA memory, shared with the device.
  public var arena: Arena
  /// The queues of requests; live once the driver has been asked to serve.
  public let queues: [BlockQueue]
  /// Network class: the virtqueues, outbound and inbound in turn. A driver may offer buffers before it is asked to serve.
  public let networkQueues: [NetworkQueue]
  /// The broker wants the device shut down. Waits go on; the loop ends after the callback that runs now.
  public internal(set) var isStopping = false

  package let control: ControlPort
  let events: EventTable
  var timers = Timers()
  var isStarted = false
  private let bars: [Bar?]
  private var configAnswer: (value: UInt32, errno: UInt16)?
  private var settings: NetworkSettings?
  private var countRequests = 0

  /// A device over any memory: what the jail mapped, or what a test made up.
  /// - Parameters:
  ///   - bars: by number; nil for what was not granted.
  ///   - rings: memory of all queues.
  ///   - interrupts: eventfds, one for each vector.
  ///   - kicks: eventfds, one for each queue, by which the broker wakes the driver.
  ///   - calls: eventfds, one for each queue, by which the driver wakes the broker.
  package init(
    grant: DeviceGrant, control: ControlPort, bars: [Bar?], arena: DMAMemory, rings: UnsafeMutableRawPointer,
    interrupts: [Int32], kicks: [Int32], calls: [Int32]
  ) {
    self.grant = grant
    self.control = control
    self.bars = bars
    self.arena = Arena(arena)
    events = EventTable(control: control.socket, interrupts: interrupts, kicks: kicks)
    let layout = Self.queueLayout(of: grant)
    let isNetwork = grant.deviceClass == .network
    networkQueues = (isNetwork ? calls.indices : 0..<0).map { index in
      NetworkQueue(
        index: index, memory: rings + index * layout.stride, layout: layout.queue,
        arena: arena.address..<arena.address + UInt64(arena.length), call: calls[index])
    }
    queues = (isNetwork ? 0..<0 : calls.indices).map { index in
      BlockQueue(
        index: index, memory: rings + index * layout.stride,
        address: AddressMap.rings + UInt64(index * layout.stride), layout: layout,
        payloadSize: Int(grant.payloadSize), call: calls[index])
    }
  }

  deinit {
    for queue in queues { queue.release() }
    for queue in networkQueues { queue.release() }
    events.deallocate()
  }

  static func queueLayout(of grant: DeviceGrant) -> SlottedQueueLayout {
    if grant.deviceClass == .network {
      return SlottedQueueLayout(queueSize: Int(grant.queueSize), slots: NetworkClass.slots, slotSize: 0)
    }
    return SlottedQueueLayout(
      queueSize: Int(grant.queueSize), slots: BlockClass.slots(queueSize: Int(grant.queueSize)),
      slotSize: BlockClass.slotSize)
  }

  /// Interrupt vectors that the driver has.
  public var interruptCount: Int { Int(grant.interrupts) }

  /// The registers of BAR `number`.
  /// - Throws: ``FailureCode/resources`` where no part of it was granted.
  public func bar(_ number: Int) throws(DriverFailure) -> Bar {
    guard bars.indices.contains(number), let bar = bars[number] else {
      throw DriverFailure(.resources, "BAR \(number) was not granted")
    }
    return bar
  }

  // MARK: Waiting

  /// Waits until `condition` holds, looking ever less often, at least every millisecond; heartbeats are answered
  /// meanwhile.
  /// - Parameters:
  ///   - step: what is waited for, for the failure's text.
  ///   - deadline: nanoseconds from now; take it from the device.
  ///   - condition: reads the device. It should throw ``FailureCode/deviceGone`` when a register reads as all ones.
  /// - Throws: ``FailureCode/timeout`` with the step; what `condition` throws.
  public func wait(
    step: String, deadline: Nanoseconds, until condition: () throws(DriverFailure) -> Bool
  ) throws(DriverFailure) {
    let end = monotonicNow() + deadline
    var pause: Nanoseconds = 20_000
    while true {
      // The clock is read first: a process that was stopped for a while still looks once before it gives up.
      let now = monotonicNow()
      if try condition() { return }
      guard now < end else {
        throw DriverFailure(.timeout, "\(step): not within \(deadline / 1_000_000) ms")
      }
      try pump(waiting: min(pause, end - now))
      pause = min(pause * 2, 1_000_000)
    }
  }

  /// Sleeps for `duration` nanoseconds where the specification asks for it; heartbeats are answered meanwhile.
  public func sleep(_ duration: Nanoseconds) throws(DriverFailure) {
    let end = monotonicNow() + duration
    while case let left = end - monotonicNow(), left > 0 { try pump(waiting: left) }
  }

  // MARK: Timers

  /// Sets timer `index` (0 to 7), which calls ``BlockDriver/timer(_:)`` after `delay` nanoseconds and then, if `interval`
  /// is not 0, every `interval` nanoseconds. A timer that is set already is set anew.
  public func setTimer(_ index: Int, after delay: Nanoseconds, every interval: Nanoseconds = 0) {
    timers.set(index, due: monotonicNow() + delay, interval: interval)
  }

  public func cancelTimer(_ index: Int) { timers.cancel(index) }

  // MARK: Config space

  /// Reads `width` (1, 2 or 4) bytes of config space through the broker.
  /// - Throws: ``FailureCode/unsupported`` with EPERM for what is not on the broker's list.
  public func readConfig(_ offset: UInt16, width: UInt8) throws(DriverFailure) -> UInt32 {
    try accessConfig(
      .configRead(offset: offset, width: width), "read of config space at 0x\(String(offset, radix: 16))")
  }

  /// Writes `width` (1, 2 or 4) bytes of config space through the broker.
  /// - Throws: ``FailureCode/unsupported`` with EPERM for what is not on the broker's list.
  public func writeConfig(_ offset: UInt16, width: UInt8, value: UInt32) throws(DriverFailure) {
    _ = try accessConfig(
      .configWrite(offset: offset, width: width, value: value),
      "write to config space at 0x\(String(offset, radix: 16))")
  }

  private func accessConfig(_ message: DriverMessage, _ step: String) throws(DriverFailure) -> UInt32 {
    configAnswer = nil
    try control.send(message)
    try wait(step: step, deadline: 5_000_000_000) { () throws(DriverFailure) in configAnswer != nil }
    guard let answer = configAnswer else { throw DriverFailure(.protocolError, "\(step): no answer") }
    guard answer.errno == 0 else { throw DriverFailure(.unsupported, step, errno: answer.errno) }
    return answer.value
  }

  // MARK: Conversation

  /// Waits at most `nanoseconds` for the broker and does what it says.
  func pump(waiting nanoseconds: Nanoseconds) throws(DriverFailure) {
    if events.waitForControl(nanoseconds) { try converse() }
  }

  /// Takes all messages that are there.
  func converse() throws(DriverFailure) {
    while let message = try control.receive() {
      switch message {
      case .grant: break
      case .configValue(let value, let errno): configAnswer = (value, errno)
      case .start: isStarted = true
      case .ping(let sequence): try control.send(.pong(sequence: sequence))
      case .stop: isStopping = true
      // Only the last settings count, but each is a whole.
      case .networkSettings(let new): settings = new
      case .networkCount: countRequests += 1
      }
    }
  }

  // MARK: Network class

  /// Tells the broker of a change of the link.
  public func reportLink(_ link: NetworkLink) throws(DriverFailure) {
    guard !isStopping else { return }
    try control.send(.networkLink(link))
  }

  func takeSettings() -> NetworkSettings? {
    defer { settings = nil }
    return settings
  }

  /// Whether the broker asked for the statistics and was not answered yet.
  func takeCountRequest() -> Bool {
    guard countRequests > 0 else { return false }
    countRequests -= 1
    return true
  }
}
