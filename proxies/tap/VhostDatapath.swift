import Broker
import CBulkhead
import Platform
import Protocol
import TAP

/// The kernel's way to carry frames between a driver's rings and a TAP: the broker sets it up, hears what the kernel
/// refuses, and takes it down before the driver's memory goes.
final class VhostDatapath {
  private let loop: EventLoop
  private let pairs: [VhostNet]
  private let busyPoll: UInt32
  private var tokens: [EventLoop.Token] = []
  /// Where the inbound rings that run say how many frames the kernel has taken, by pair.
  private var inboundUsed: [Int: UnsafeMutableRawPointer] = [:]
  private var takenBefore: UInt16 = 0
  /// The same rings, to be looked at for frames that the kernel cannot get past.
  private var watched: [Int: StuckRing] = [:]
  /// A stop that went wrong closed a file that this process cannot open again.
  private var isBroken = false

  /// Becomes the owner of each file, which must happen in the process that has the driver's memory.
  /// - Throws: `vhost-features`, `vhost-owner`.
  convenience init(files: [Int32], loop: EventLoop, busyPoll: UInt32) throws(Failure) {
    try self.init(files.map { VhostDevice(owning: Descriptor(owning: $0)) }, loop: loop, busyPoll: busyPoll)
  }

  init(_ interfaces: [any VhostInterface], loop: EventLoop, busyPoll: UInt32) throws(Failure) {
    self.loop = loop
    self.busyPoll = busyPoll
    var pairs: [VhostNet] = []
    for interface in interfaces { pairs.append(try VhostNet(interface)) }
    self.pairs = pairs
  }

  /// Inbound frames that the kernel has taken from the present or last driver, modulo 65536. The driver can write the
  /// rings too, so while it lives this is what it pretends.
  var taken: UInt16 {
    inboundUsed.values.reduce(takenBefore) { $0 &+ bh_load16_acquire($1) }
  }

  /// Stops a pair, after which the kernel itself has said how many frames it took.
  @discardableResult
  private func stop(_ index: Int) throws(Failure) -> VhostNet.Positions? {
    inboundUsed[index] = nil
    watched[index] = nil
    guard let positions = try pairs[index].stop() else { return nil }
    takenBefore &+= positions.transmit
    return positions
  }

  /// There is another driver, which has given nothing yet.
  func forget() { takenBefore = 0 }

  /// Begins with fresh rings.
  /// - Parameter onFault: called when the kernel refuses what the driver wrote; carrying has ended in that pair.
  /// - Throws: any `vhost-` failure; nothing is carried then.
  func start(
    _ queues: DriverQueues, features: VirtioNetFeatures, taps: [Int32], onFault: @escaping (Violation, String) -> Void
  ) throws(Failure) {
    guard !isBroken else {
      throw Failure("vhost-state", "start vhost-net again", hint: "an earlier stop has failed; a new broker can")
    }
    let memory = try VhostMemory(arena: queues.arena)
    do throws(Failure) {
      for (index, tap) in taps.enumerated() {
        let plan = VhostPlan(
          features: features, memory: memory, receive: ring(queues, 2 * index), transmit: ring(queues, 2 * index + 1),
          tap: tap, busyPoll: busyPoll)
        let pair = pairs[index]
        _ = pair.takeErrors()
        try pair.start(plan)
        inboundUsed[index] = plan.transmit.base + plan.transmit.layout.usedOffset + 2
        watched[index] = StuckRing(plan.transmit.base, plan.transmit.layout)
        for direction in NetworkClass.Direction.allCases {
          let error = direction == .outbound ? pair.errors.receive.number : pair.errors.transmit.number
          tokens.append(
            loop.watch(error) { [unowned self] _ in
              EventDescriptor.drain(error)
              let (violation, detail) = self.explain(index, direction, plan)
              onFault(violation, "vhost-net refused \(detail) of queue \(2 * index + direction.rawValue)")
            })
        }
      }
    } catch {
      stop()
      throw error
    }
  }

  /// virtio's kick is what wakes the outlet, its call what wakes the driver.
  private func ring(_ queues: DriverQueues, _ queue: Int) -> VhostRing {
    VhostRing(
      layout: queues.layout.queue, base: queues.base + queue * queues.layout.stride, kick: queues.calls[queue],
      call: queues.kicks[queue])
  }

  /// The kernel says that it refused something, and not what. Where the ring stands tells at least whether its index ran
  /// away; the ring is stopped for it, since it stands still anyway.
  private func explain(
    _ index: Int, _ direction: NetworkClass.Direction, _ plan: VhostPlan
  ) -> (Violation, String) {
    do throws(Failure) {
      if let positions = try stop(index) {
        let ring = direction == .outbound ? plan.receive : plan.transmit
        let position = direction == .outbound ? positions.receive : positions.transmit
        let distance = Int(bh_load16_acquire(ring.base + ring.layout.availOffset + 2) &- position)
        if distance > ring.layout.size { return (.availIndexInvalid, "an available index \(distance) entries ahead") }
      }
    } catch {
      isBroken = true
      Log.error("\(error)")
    }
    return (.descriptorInvalid, "a descriptor")
  }

  /// Looks whether the kernel cannot get past what the driver wrote; to be called now and then.
  /// - Returns: what it is; nil where there is nothing of the kind.
  func stuck() -> String? {
    for index in pairs.indices {
      guard var ring = watched[index] else { continue }
      let found = ring.look()
      watched[index] = ring
      guard let bytes = found else { continue }
      return "vhost-net cannot get past a frame of \(bytes) bytes, header and all, in queue \(2 * index + 1)"
    }
    return nil
  }

  /// When it returns, the kernel touches neither rings nor arena any more. May be called twice.
  func stop() {
    tokens.forEach(loop.remove)
    tokens = []
    for index in pairs.indices {
      do throws(Failure) { try stop(index) } catch {
        isBroken = true
        Log.error("\(error)")
      }
    }
  }
}
