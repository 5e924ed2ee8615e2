import CBulkhead
import Glibc
import Platform

/// Sends the operations of a plan to a disk and holds every answer to the log, while an assailant has its way.
///
/// First the whole range is written. After each recovery what was touched since is read and checked, and at the end
/// everything is.
public final class Campaign {
  private struct Slot {
    var operation: Operation?
    /// The write's number, or the time of a read or flush.
    var mark: UInt64 = 0
    var since: Nanoseconds = 0
  }

  public let options: CampaignOptions
  private let target: any Target
  private let assailant: Assailant?
  private var plan: Plan
  public private(set) var log: SectorLog
  public internal(set) var summary = CampaignSummary()
  private let report: (String) -> Void

  private var slots: [Slot]
  private var free: [Int]
  private let memory: UnsafeMutableRawPointer
  private static let slotSize = 128 << 10

  /// The part of the range that a verification reads at a time.
  private static let chunkSectors = 64
  private var touched: [Bool]
  /// Chunks that are to be read, last first.
  private var verification: [Int] = []
  private var wantsVerification = false
  private var planned: UInt64 = 0
  private var ended: UInt64 = 0

  /// - Parameter report: takes lines about the progress.
  /// - Throws: ``Failure`` `campaign-target` for a disk that is too small or cannot be written.
  public init(
    _ options: CampaignOptions, target: any Target, canForceUnitAccess: Bool, assailant: Assailant?,
    report: @escaping (String) -> Void
  ) throws(Failure) {
    let size = min(options.range, target.size) / Self.slotSize * Self.slotSize
    guard size > 0, target.kinds.contains(.write) else {
      throw Failure("campaign-target", "use a disk of \(target.size) bytes", hint: "writable, 128 KiB at least")
    }
    self.options = options
    self.target = target
    self.assailant = assailant
    self.report = report
    // The contents tell this run from any before; the plan is the seed's alone.
    log = SectorLog(
      sectors: size / sectorSize, seed: options.seed ^ UInt64(bh_monotonic_ns()) << 20 | 1,
      atomicSize: options.atomicSize, losesPower: options.losesPower)
    plan = Plan(
      seed: options.seed, sectors: size / sectorSize, blockSize: target.blockSize, kinds: target.kinds,
      canForceUnitAccess: canForceUnitAccess)
    slots = Array(repeating: Slot(), count: options.depth)
    free = Array((0..<options.depth).reversed())
    memory = .allocate(byteCount: options.depth * Self.slotSize, alignment: 4096)
    touched = Array(repeating: false, count: size / sectorSize / Self.chunkSectors)
  }

  deinit { memory.deallocate() }

  // MARK: The course

  /// Runs all of it.
  /// - Throws: ``Failure``; code `campaign-hang` when there is no answer within the deadline, `campaign-io` for an error
  ///   or a lost connection that is not allowed.
  public func run() throws(Failure) {
    let begin = bh_monotonic_ns()
    defer { summarize(since: begin) }
    try fill()
    report("range of \(log.sectors / 2) KiB written")
    let assailant = self.assailant
    while planned < options.operations || assailant?.isFinished == false || wantsVerification || !verification.isEmpty {
      while let operation = nextOperation() { start(operation) }
      try turn()
    }
    try drain()
    if target.kinds.contains(.flush) { try runAlone(Operation(.flush)) }
    for chunk in touched.indices { touched[chunk] = true }
    beginVerification()
    while let operation = nextVerification() {
      start(operation)
      while free.isEmpty { try turn() }
    }
    try drain()
  }

  private func summarize(since begin: Nanoseconds) {
    summary.seconds = Double(bh_monotonic_ns() - begin) / 1e9
    summary.sectorsChecked = log.sectorsChecked
    summary.violations = log.violations
    summary.violationCount = log.violationCount
    summary.disconnects = target.disconnects
    if let assailant {
      summary.attacks = assailant.done
      summary.recoveries = assailant.recoveries
    }
  }

  private func fill() throws(Failure) {
    let step = Self.slotSize / sectorSize
    for first in stride(from: 0, to: log.sectors, by: step) {
      while free.isEmpty || !target.isReady { try turn() }
      start(Operation(.write, first: first, count: step))
    }
    try drain()
    if target.kinds.contains(.flush) { try runAlone(Operation(.flush)) }
  }

  private func runAlone(_ operation: Operation) throws(Failure) {
    while free.isEmpty || !target.isReady { try turn() }
    start(operation)
    try drain()
  }

  private func drain() throws(Failure) { while free.count < slots.count { try turn() } }

  /// What to send now; nil: nothing, before something has ended.
  private func nextOperation() -> Operation? {
    guard !free.isEmpty, target.isReady else { return nil }
    if let operation = nextVerification() { return operation }
    if wantsVerification {
      // What was in flight ends first, so that most sectors can hold one thing only.
      guard free.count == slots.count else { return nil }
      wantsVerification = false
      summary.verifications += 1
      beginVerification()
      return nextVerification()
    }
    guard planned < options.operations || assailant?.isFinished == false else { return nil }
    planned += 1
    return plan.next()
  }

  private func beginVerification() {
    for chunk in touched.indices.reversed() where touched[chunk] {
      verification.append(chunk)
      touched[chunk] = false
    }
  }

  private func nextVerification() -> Operation? {
    guard let chunk = verification.popLast() else { return nil }
    return Operation(.read, first: chunk * Self.chunkSectors, count: Self.chunkSectors)
  }

  // MARK: Operations

  private func start(_ operation: Operation) {
    let index = free.removeLast()
    let place = memory + index * Self.slotSize
    var mark: UInt64
    switch operation.kind {
    case .read: mark = log.issueRead()
    case .flush: mark = log.issueFlush()
    case .write:
      let number = log.issue(.data, first: operation.first, count: operation.count)
      for sector in 0..<operation.count {
        log.pattern.fill(place + sector * sectorSize, sector: UInt64(operation.first + sector), write: number)
      }
      mark = UInt64(number)
    case .writeZeroes: mark = UInt64(log.issue(.zeroes, first: operation.first, count: operation.count))
    case .trim: mark = UInt64(log.issue(.trim, first: operation.first, count: operation.count))
    }
    slots[index] = Slot(operation: operation, mark: mark, since: bh_monotonic_ns())
    if operation.count > 0, operation.kind != .read {
      let last = (operation.first + operation.count - 1) / Self.chunkSectors
      for chunk in operation.first / Self.chunkSectors...last { touched[chunk] = true }
    }
    summary.count(operation)
    target.submit(operation, memory: place, slot: index)
  }

  private func end(_ index: Int, _ outcome: Outcome) {
    guard let operation = slots[index].operation else { return }
    let mark = slots[index].mark
    slots[index].operation = nil
    free.append(index)
    ended += 1
    switch (operation.kind, outcome) {
    case (.read, .done):
      log.check(memory + index * Self.slotSize, issued: mark, first: operation.first, count: operation.count)
    case (.read, _): log.forget(read: mark)
    case (.flush, .done): log.acknowledgeFlush(issued: mark)
    case (.flush, .failed): log.failFlush()
    case (.flush, .unknown): break
    case (_, .done): log.acknowledge(UInt32(mark), forceUnitAccess: operation.forceUnitAccess)
    case (_, _): log.abandon(UInt32(mark))
    }
    if case .failed(let error) = outcome { summary.errors[error, default: 0] += 1 }
    if outcome == .unknown { summary.unknown += 1 }
  }

  // MARK: Waiting

  private func turn() throws(Failure) {
    var files: [pollfd] = []
    target.addFiles(to: &files)
    assailant?.addFiles(to: &files)
    let now = bh_monotonic_ns()
    let wake = min(assailant?.nextLook ?? .max, now + (target.isReady ? 100_000_000 : 5_000_000))
    _ = bh_ppoll(&files, UInt64(files.count), max(0, wake - now))
    target.collect { end($0, $1) }
    if !options.allowsErrors, let (error, _) = summary.errors.first {
      throw Failure("campaign-io", "the disk answers with error \(error)")
    }
    if !options.allowsDisconnects, target.disconnects > 0 { throw Failure("campaign-io", "a connection was lost") }
    if log.violationCount > 1000 { throw Failure("campaign-io", "give up after 1000 violations") }
    try lookForHangs()
    guard let assailant, try assailant.act(ended: ended) else { return }
    wantsVerification = true
    if assailant.left % 50 == 0 {
      report("\(assailant.left) attacks left, \(ended) operations, \(log.violationCount) violations")
    }
  }

  private func lookForHangs() throws(Failure) {
    let now = bh_monotonic_ns()
    for slot in slots {
      guard let operation = slot.operation, now - slot.since > options.deadline else { continue }
      throw Failure(
        "campaign-hang", "wait for \(operation.kind) of sectors \(operation.first)+\(operation.count)", errno: ETIMEDOUT
      )
    }
  }
}
