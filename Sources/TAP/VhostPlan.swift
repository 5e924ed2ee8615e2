import Platform
import Protocol
import Virtqueue

/// One ring of a pair, in the memory that broker and driver share.
public struct VhostRing: @unchecked Sendable {
  public var layout: VirtqueueLayout
  /// Its first byte, in this process.
  public var base: UnsafeMutableRawPointer
  /// virtio's kick: the driver signals this eventfd, the kernel waits for it (``DriverFile/calls`` of the queue).
  public var kick: Int32
  /// virtio's call: the kernel signals this eventfd, the driver waits for it (``DriverFile/kicks`` of the queue).
  public var call: Int32
  /// The first available index to take; 0 for fresh memory.
  public var position: UInt16

  public init(
    layout: VirtqueueLayout, base: UnsafeMutableRawPointer, kick: Int32, call: Int32, position: UInt16 = 0
  ) {
    self.layout = layout
    self.base = base
    self.kick = kick
    self.call = call
    self.position = position
  }

  var address: VhostRingAddress {
    VhostRingAddress(
      descriptors: UnsafeRawPointer(base + layout.descriptorOffset),
      avail: UnsafeRawPointer(base + layout.availOffset), used: UnsafeRawPointer(base + layout.usedOffset))
  }

  var memory: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: base, count: layout.byteCount) }
}

/// What ``VhostNet/start(_:)`` is to set up for one driver.
public struct VhostPlan: @unchecked Sendable {
  /// Of ``VirtioNetFeatures``, those that driver and broker agreed on. Offloads may be in it.
  public var features: VirtioNetFeatures
  public var memory: VhostMemory
  /// Frames for the driver (virtio 1.2 section 5.1.2: receiveq).
  public var receive: VhostRing
  /// Frames from the driver (transmitq).
  public var transmit: VhostRing
  /// A queue of the TAP.
  public var tap: Int32
  /// How long the kernel polls for more before it sleeps, in microseconds; 0: not at all.
  public var busyPoll: UInt32

  public init(
    features: VirtioNetFeatures, memory: VhostMemory, receive: VhostRing, transmit: VhostRing, tap: Int32,
    busyPoll: UInt32 = 0
  ) {
    self.features = features
    self.memory = memory
    self.receive = receive
    self.transmit = transmit
    self.tap = tap
    self.busyPoll = busyPoll
  }

  /// A call, and what takes it back.
  struct Step {
    var call: VhostCall
    var undo: VhostCall?
  }

  /// In this order; to be undone in the reverse one. The backends come last, so that a ring moves its first frame when
  /// all is set, and go first, so that it has moved its last when anything is taken away.
  ///
  /// Sizes, positions and addresses need no undoing: without a backend the kernel does not use them.
  func steps(errors: (receive: Int32, transmit: Int32)) -> [Step] {
    var steps = [
      Step(call: .setFeatures(features.intersection(.transport)), undo: nil),
      Step(call: .setMemory(memory), undo: .setMemory(.none)),
    ]
    for (ring, plan, error) in [
      (VhostNet.receiveRing, receive, errors.receive), (VhostNet.transmitRing, transmit, errors.transmit),
    ] {
      steps += [
        Step(call: .setRingSize(ring: ring, UInt32(plan.layout.size)), undo: nil),
        Step(call: .setRingBase(ring: ring, plan.position), undo: nil),
        Step(call: .setRingAddress(ring: ring, plan.address), undo: nil),
        Step(call: .setError(ring: ring, error), undo: .setError(ring: ring, nil)),
        Step(call: .setCall(ring: ring, plan.call), undo: .setCall(ring: ring, nil)),
        Step(call: .setKick(ring: ring, plan.kick), undo: .setKick(ring: ring, nil)),
      ]
      if busyPoll > 0 {
        steps.append(
          Step(call: .setBusyPoll(ring: ring, busyPoll), undo: .setBusyPoll(ring: ring, 0)))
      }
    }
    for ring in [VhostNet.receiveRing, VhostNet.transmitRing] {
      steps.append(Step(call: .setBackend(ring: ring, tap), undo: .setBackend(ring: ring, nil)))
    }
    return steps
  }
}
