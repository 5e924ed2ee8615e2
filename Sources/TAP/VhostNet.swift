import Glibc
import Platform

/// One pair of rings whose frames the kernel moves between a TAP and the memory of a driver (vhost-net).
///
/// The kernel checks each descriptor against the table of memory; one that names anything else is not served, and is
/// told through ``errors``. It works in the memory of the process that made this value, in a thread of that process's
/// control group, and goes on until ``stop()`` or until the file is closed, which the end of the process does too.
public final class VhostNet {
  public static let receiveRing: UInt32 = 0
  public static let transmitRing: UInt32 = 1

  /// Where the rings were when they stopped: the next available index that would have been taken.
  public struct Positions: Sendable, Equatable {
    public var receive: UInt16
    public var transmit: UInt16
  }

  /// eventfds that count descriptors which the kernel refused, for each ring. To be watched for POLLIN.
  public struct Errors: ~Copyable, Sendable {
    public let receive: Descriptor
    public let transmit: Descriptor
  }

  private enum State { case idle, running, closed }

  /// What the kernel can do.
  public let offered: VirtioNetFeatures
  public let errors: Errors
  private let interface: any VhostInterface
  private var state = State.idle
  /// What takes back the steps that were made, the last one last.
  private var undo: [VhostCall] = []

  /// Becomes the owner.
  /// - Throws: `vhost-features` when the kernel lacks what is always needed; `vhost-owner`, EBUSY: the file has one.
  public init(_ interface: any VhostInterface) throws(Failure) {
    var offered = VirtioNetFeatures()
    try checked(interface.getFeatures(&offered), "vhost-features", "ask vhost-net what it can do")
    let needed: VirtioNetFeatures = [.version1, .eventIndex]
    guard offered.isSuperset(of: needed) else {
      throw Failure(
        "vhost-features", "use vhost-net: it offers 0x\(String(offered.rawValue, radix: 16))",
        hint: "virtio 1 and the event index are needed; the broker can move frames itself")
    }
    errors = Errors(receive: try EventDescriptor.make(), transmit: try EventDescriptor.make())
    self.interface = interface
    self.offered = offered
    try perform(.setOwner)
  }

  deinit { close() }

  public var isRunning: Bool { state == .running }

  /// Sets everything up for one driver, and starts. What was set is taken back if a step fails.
  /// - Throws: `vhost-state` unless it is idle; `vhost-ring`, `vhost-features`, `vhost-memory`, `vhost-event`,
  ///   `vhost-backend`.
  public func start(_ plan: VhostPlan) throws(Failure) {
    guard state == .idle else { throw Failure("vhost-state", "start rings that are not idle") }
    try check(plan)
    do throws(Failure) {
      for step in plan.steps(errors: (errors.receive.number, errors.transmit.number)) {
        try perform(step.call)
        if let undo = step.undo { self.undo.append(undo) }
      }
    } catch {
      unwind()
      throw error
    }
    state = .running
    // A kick that came before there was a backend has been heard and forgotten: look again.
    EventDescriptor.signal(plan.receive.kick)
    EventDescriptor.signal(plan.transmit.kick)
  }

  private func check(_ plan: VhostPlan) throws(Failure) {
    guard !plan.memory.regions.isEmpty else { throw Failure("vhost-memory", "start without the driver's memory") }
    let transport = plan.features.intersection(.transport)
    guard transport.contains(.version1), offered.isSuperset(of: transport) else {
      throw Failure(
        "vhost-features", "start with features 0x\(String(transport.rawValue, radix: 16))",
        hint: "offered are 0x\(String(offered.rawValue, radix: 16)); virtio 1 must be among them")
    }
    for (name, ring) in [("receive", plan.receive), ("transmit", plan.transmit)] {
      guard UInt(bitPattern: ring.base) % 16 == 0 else {
        throw Failure("vhost-ring", "start the \(name) ring: it is not aligned to 16 bytes")
      }
      // The device could write the ring by DMA, and the driver could have the kernel write it as a frame.
      guard !plan.memory.contains(anyOf: ring.memory) else {
        throw Failure("vhost-ring", "start the \(name) ring: it is in memory that descriptors can name")
      }
    }
    guard !VhostMemory.overlap(plan.receive.memory, plan.transmit.memory) else {
      throw Failure("vhost-ring", "start rings that lie in the same memory")
    }
  }

  /// Stops both rings. When it returns, the kernel touches neither the rings nor the driver's memory any more, and
  /// ``start(_:)`` may follow. Does nothing if it is not running.
  /// - Throws: a failure of any step. The file is closed then, which stops everything too; this value is of no more use.
  @discardableResult
  public func stop() throws(Failure) -> Positions? {
    guard state == .running else { return nil }
    // Backends first, of course: they are on top of the stack.
    do throws(Failure) {
      try undoLast(2)
      let positions = Positions(
        receive: UInt16(truncatingIfNeeded: try perform(.getRingBase(ring: Self.receiveRing))),
        transmit: UInt16(truncatingIfNeeded: try perform(.getRingBase(ring: Self.transmitRing))))
      try undoLast(undo.count)
      state = .idle
      return positions
    } catch {
      close()
      throw error
    }
  }

  /// Stops by closing the file. May be called twice.
  public func close() {
    guard state != .closed else { return }
    state = .closed
    undo.removeAll()
    interface.close()
  }

  /// How many times the kernel has refused a descriptor since this was called last.
  public func takeErrors() -> (receive: UInt64, transmit: UInt64) {
    (EventDescriptor.drain(errors.receive.number), EventDescriptor.drain(errors.transmit.number))
  }

  private func unwind() {
    do throws(Failure) { try undoLast(undo.count) } catch { close() }
  }

  private func undoLast(_ count: Int) throws(Failure) {
    for _ in 0..<count { if let call = undo.popLast() { try perform(call) } }
  }

  @discardableResult
  private func perform(_ call: VhostCall) throws(Failure) -> Int32 {
    let result = interface.perform(call)
    guard result < 0 else { return result }
    let (code, text) = call.step
    throw Failure(code, text, errno: -result, hint: VhostNet.hint(call, -result))
  }

  private static func hint(_ call: VhostCall, _ errno: Int32) -> String {
    switch (call, errno) {
    case (.setOwner, EBUSY): "another process owns this file: each pair of rings needs one of its own"
    case (_, EPERM): "the file belongs to another process"
    case (.setOwner, ENOMEM), (.setMemory, ENOMEM): "the kernel is short of memory"
    case (.setFeatures, EOPNOTSUPP): "the kernel does not know one of them"
    case (.setBackend, ENOTSOCK): "the file is not a TAP's, or its interface is gone"
    case (.setBackend, EFAULT): "the rings are not in this process's memory"
    case (.setRingSize, EBUSY), (.setRingBase, EBUSY): "the ring is running"
    case (_, ENOTTY): "the file is not a vhost-net device"
    default: ""
    }
  }
}
