import DriverKit
import Glibc

/// The driver of an NVMe controller (NVMe 1.4 and 2.0, PCI class 01 08 02): every namespace without metadata is a unit.
public final class NVMeDriver: BlockDriver {
  public static let name = "nvme"
  public static let version = "1.0"

  /// The most I/O queue pairs that are worth having.
  private static let maximumPairs = 4

  public let device: Device
  /// Nil until ``start()``.
  public internal(set) var controller: Controller? {
    didSet { adminQueue = controller.map { Unmanaged.passUnretained($0) } }
  }
  /// The controller, for a look at its admin queue that counts no reference.
  private var adminQueue: Unmanaged<Controller>?
  let timeout: Nanoseconds
  let queueLimit: Int

  /// Made once at start, then only used in place: nothing here is counted or copied for a request.
  private(set) var queues: UnsafeMutablePointer<IOQueue>
  private(set) var queueCount = 0
  private(set) var namespaces: UnsafeMutablePointer<Namespace>
  private(set) var namespaceCount = 0
  private(set) var identity: ControllerIdentity?

  /// Time as the watchdog counts it.
  var tick: UInt32 = 0
  var isWatching = false
  var resets = 0
  private(set) var unknownCompletions: UInt64 = 0
  private var errorLog = LogLimit()

  /// Options: `timeout-ms`, after which a command is aborted (30000); `queues`, the most I/O queue pairs (4).
  public init(device: Device, options: Options) throws(DriverFailure) {
    self.device = device
    timeout = try options.number("timeout-ms", default: 30_000, in: 10...600_000) * 1_000_000
    queueLimit = try options.number("queues", default: Self.maximumPairs, in: 1...Self.maximumPairs)
    queues = .allocate(capacity: Self.maximumPairs)
    namespaces = .allocate(capacity: BlockUnit.maximumCount)
    guard device.interruptCount > 0, !device.queues.isEmpty else {
      throw DriverFailure(.resources, "at least one interrupt vector and one queue are needed")
    }
  }

  deinit {
    queues.deinitialize(count: queueCount)
    queues.deallocate()
    namespaces.deallocate()
  }

  // MARK: Start and stop

  public func start() throws(DriverFailure) -> [BlockUnit] {
    let controller = try Controller(device: device)
    self.controller = controller
    try controller.disable()
    try controller.enable()
    let identity = try controller.identify()
    self.identity = identity
    let version = controller.version
    Log.info(
      "controller \(identity.model), serial \(identity.serial), firmware \(identity.firmware), "
        + "NVMe \(version >> 16).\(version >> 8 & 0xff)")
    let units = try findUnits(controller, identity)
    try makeQueues(controller)
    try checkBlockSizes()
    return units
  }

  private func findUnits(
    _ controller: Controller, _ identity: ControllerIdentity
  ) throws(DriverFailure) -> [BlockUnit] {
    var units: [BlockUnit] = []
    for id in try controller.activeNamespaces(of: identity, limit: BlockUnit.maximumCount) {
      let namespaceIdentity = try controller.identify(namespace: id)
      if let obstacle = namespaceIdentity.obstacle {
        Log.warning("namespace \(id) is left out: \(obstacle)")
        continue
      }
      let namespace = Namespace(id: id, namespaceIdentity, identity)
      (namespaces + namespaceCount).initialize(to: namespace)
      let unit = BlockUnit(index: namespaceCount, namespace, namespaceIdentity, identity)
      namespaceCount += 1
      units.append(unit)
      Log.info(
        "unit \(unit.index): namespace \(id), \(unit.blocks) blocks of \(unit.blockSize) bytes, "
          + "at most \(unit.maximumTransfer) bytes a request, "
          + "\(namespace.hasVolatileCache ? "volatile write cache" : "no volatile write cache")")
    }
    guard !units.isEmpty else {
      throw DriverFailure(.unsupported, "the controller has no namespace that can be served")
    }
    return units
  }

  /// One pair for each vector, as far as broker, controller and administrator agree. Vector 0 is the admin queue's, which
  /// shares it only where there are no more vectors than pairs.
  private func makeQueues(_ controller: Controller) throws(DriverFailure) {
    let vectors = device.interruptCount
    let pairs = try controller.negotiateQueues(min(queueLimit, device.queues.count, vectors))
    let shared = (device.queues.count + pairs - 1) / pairs
    let slots = min(
      shared * device.queues[0].depth, controller.capabilities.maximumQueueEntries - 1, CommandTable.maximumSlots)
    guard slots > 0 else { throw DriverFailure(.unsupported, "the controller's queues have one entry") }
    for index in 0..<pairs {
      let queue = try IOQueue(
        id: UInt16(index + 1), slots: slots, vector: vectors > pairs ? index + 1 : index % vectors,
        arena: &device.arena, bar: controller.bar, doorbellStride: controller.capabilities.doorbellStride)
      (queues + index).initialize(to: queue)
      queueCount += 1
      try controller.create(queues[index])
    }
    Log.info("\(pairs) I/O queue pairs of \(slots) commands, \(vectors) interrupt vectors")
  }

  public func stop() throws(DriverFailure) {
    guard let controller else { return }
    if inFlight > 0 {
      // What does not finish stays in the broker's table and is replayed into the next driver.
      do throws(DriverFailure) {
        try device.wait(step: "last commands", deadline: 5_000_000_000) { () throws(DriverFailure) in
          for vector in 0..<device.interruptCount { _ = try interrupt(vector) }
          return inFlight == 0
        }
      } catch { Log.warning("\(inFlight) commands are not finished: \(error)") }
    }
    for index in 0..<queueCount where queues[index].commands.inFlight == 0 { try controller.delete(queues[index]) }
    try controller.shutDown(within: identity?.shutdownTime ?? 0)
    try controller.disable()
    Log.info("controller shut down, \(resets) resets, \(unknownCompletions) unknown completions")
  }

  var inFlight: Int {
    var count = 0
    for index in 0..<queueCount { count += queues[index].commands.inFlight }
    return count
  }

  // MARK: Requests

  public func queueReady(_ queue: BlockQueue) throws(DriverFailure) -> Bool {
    let target = queues + queue.index % queueCount
    var found = false
    while target.pointee.commands.hasRoom, let request = try queue.next() {
      found = true
      guard Int(request.unit) < namespaceCount else {
        queue.complete(request, errno: EINVAL)
        continue
      }
      let slot = target.pointee.commands.take(request, from: queue)
      issue(slot, on: target)
    }
    if found { target.pointee.pair.ring() }
    return found
  }

  /// Gives the slot's next command to the controller, or ends its request.
  func issue(_ index: Int, on target: UnsafeMutablePointer<IOQueue>) {
    let slot = target.pointee.commands[index]
    let encoded = CommandEncoder.encode(
      slot.pointee.request, done: slot.pointee.blocksDone, namespaces[Int(slot.pointee.request.unit)],
      list: target.pointee.commands.list(index))
    switch encoded {
    case .command(var entry, let blocks):
      target.pointee.commands.renewID(index)
      entry.commandID = slot.pointee.commandID
      slot.pointee.blocksNow = blocks
      slot.pointee.isAborting = false
      slot.pointee.deadline = tick &+ timeoutTicks
      target.pointee.pair.push(entry)
      if !isWatching { startWatching() }
    case .done: finish(index, on: target, errno: 0)
    case .refused(let errno): finish(index, on: target, errno: errno)
    }
  }

  private func finish(_ index: Int, on target: UnsafeMutablePointer<IOQueue>, errno: Int32) {
    let slot = target.pointee.commands[index]
    slot.pointee.queue.complete(slot.pointee.request, errno: errno)
    target.pointee.commands.release(index)
  }

  // MARK: Completions

  public func interrupt(_ vector: Int) throws(DriverFailure) -> Bool {
    var found = false
    if vector == 0, let adminQueue, adminQueue._withUnsafeGuaranteedRef({ $0.pollAdmin() }) { found = true }
    for index in 0..<queueCount where queues[index].vector == vector {
      if drain(queues + index) { found = true }
    }
    return found
  }

  private func drain(_ target: UnsafeMutablePointer<IOQueue>) -> Bool {
    var found = false
    // A controller that lies without end must not keep the loop from its other work.
    for _ in 0..<target.pointee.pair.entries {
      guard let completion = target.pointee.pair.pop() else { break }
      found = true
      guard let slot = target.pointee.commands.find(completion.commandID) else {
        reportUnknown(completion, target.pointee.pair.id)
        continue
      }
      complete(slot, completion.status, on: target)
    }
    guard found else { return false }
    target.pointee.pair.acknowledge()
    target.pointee.pair.ring()
    return true
  }

  private func complete(_ index: Int, _ status: CommandStatus, on target: UnsafeMutablePointer<IOQueue>) {
    let slot = target.pointee.commands[index]
    if status.isSuccess {
      slot.pointee.blocksDone += UInt64(slot.pointee.blocksNow)
      // Only Write Zeroes may need more than one command.
      guard slot.pointee.request.type == .writeZeroes else { return finish(index, on: target, errno: 0) }
      return issue(index, on: target)
    }
    failed(index, status, on: target)
  }

  /// Out of line, as what follows is no part of a command that goes well.
  @inline(never)
  private func failed(_ index: Int, _ status: CommandStatus, on target: UnsafeMutablePointer<IOQueue>) {
    let slot = target.pointee.commands[index]
    if shouldRetry(slot, status) { return issue(index, on: target) }
    reportError(status, slot.pointee.request, retries: slot.pointee.retries)
    finish(index, on: target, errno: status.errno)
  }

  @inline(never)
  private func reportUnknown(_ completion: CompletionEntry, _ queue: UInt16) {
    unknownCompletions &+= 1
    guard errorLog.permits() else { return }
    let id = String(completion.commandID, radix: 16)
    Log.warning("queue \(queue): completion of unknown command 0x\(id) ignored\(errorLog.remark())")
  }

  private func reportError(_ status: CommandStatus, _ request: BlockRequest, retries: UInt8) {
    guard errorLog.permits() else { return }
    Log.warning(
      "\(request.type) of \(request.sectors) sectors at \(request.sector), unit \(request.unit): \(status), "
        + "retried \(retries) times\(errorLog.remark())")
  }
}
