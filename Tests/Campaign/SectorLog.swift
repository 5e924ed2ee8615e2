/// What may be read from each sector: the checker that knows the order of writes, answers, flushes and power losses.
///
/// Times are the numbers of events, as the client sees them. The rules:
/// - A read may return any write that was issued before the read's answer, unless another write that *counts* was issued
///   after that write had ended, and counted before the read was issued.
/// - A write counts once it is acknowledged. With ``losesPower`` it counts only once it is durable: acknowledged with
///   force unit access, or acknowledged before a flush was issued that is acknowledged.
/// - A flush that fails says that what was not durable before may be gone: later flushes do not cover it.
/// - A write that was answered with an error, or whose connection was lost, may have happened or not: it can be read, but
///   does not count. A trim may leave zeroes or what was there.
/// - What a read has seen while nothing was in flight for the sector is what the sector holds.
/// - Of a write no longer than ``atomicSize`` that has ended, no sector may be older than another.
///
/// Not thread-safe.
public struct SectorLog: ~Copyable {
  /// What a write leaves in its sectors.
  public enum Kind: UInt8, Sendable {
    case data, zeroes, trim
    /// What was there before the campaign: number 0, for all sectors.
    case initial
  }

  struct Write {
    var first: UInt32
    var count: UInt32
    var issued: UInt64
    /// When its answer came, whatever it was; .max: in flight.
    var ended: UInt64 = .max
    var kind: Kind
    var isAcknowledged = false
  }

  /// A write as one of its sectors has it.
  struct Node {
    var write: UInt32
    var next: Int32
    /// From then on no read may return it.
    var supersededAt: UInt64 = .max
  }

  public let sectors: Int
  /// Bytes; 0: nothing is promised.
  public let atomicSize: Int
  public let losesPower: Bool
  public let pattern: SectorPattern
  private(set) var writes: [Write] = []
  private(set) var nodes: [Node] = []
  private(set) var heads: [Int32]
  private var freeNodes: Int32 = -1
  private var now: UInt64 = 0
  /// Acknowledged writes that wait for a flush; only with ``losesPower``.
  private var undurable: [UInt32] = []
  private var readsInFlight: Set<UInt64> = []
  private var oldestRead: UInt64 = .max
  public private(set) var sectorsChecked: UInt64 = 0
  public private(set) var violations: [Violation] = []
  public private(set) var violationCount = 0
  private static let violationLimit = 20

  /// - Parameters:
  ///   - seed: must not be that of an earlier campaign on the same disk.
  ///   - atomicSize: bytes that are written whole or not at all; 0: no more than a sector.
  ///   - losesPower: acknowledged writes may be lost until they are flushed.
  public init(sectors: Int, seed: UInt64, atomicSize: Int = 0, losesPower: Bool = false) {
    self.sectors = sectors
    self.atomicSize = atomicSize
    self.losesPower = losesPower
    pattern = SectorPattern(seed: seed)
    heads = (0..<Int32(sectors)).map { $0 }
    nodes = Array(repeating: Node(write: 0, next: -1), count: sectors)
    writes = [Write(first: 0, count: UInt32(sectors), issued: 0, ended: 0, kind: .initial, isAcknowledged: true)]
  }

  public var writeCount: Int { writes.count }
  public var undurableCount: Int { undurable.count }

  // MARK: Writes

  /// A write, write-zeroes or trim is about to be sent.
  /// - Returns: its number, for ``SectorPattern/fill(_:sector:write:)``.
  public mutating func issue(_ kind: Kind, first: Int, count: Int) -> UInt32 {
    now += 1
    let number = UInt32(writes.count)
    writes.append(Write(first: UInt32(first), count: UInt32(count), issued: now, kind: kind))
    for sector in first..<first + count { heads[sector] = makeNode(number, next: heads[sector]) }
    return number
  }

  /// It was answered without an error.
  public mutating func acknowledge(_ number: UInt32, forceUnitAccess: Bool = false) {
    now += 1
    writes[Int(number)].ended = now
    writes[Int(number)].isAcknowledged = true
    guard writes[Int(number)].kind != .trim else { return }
    if !losesPower || forceUnitAccess { count(number) } else { undurable.append(number) }
  }

  /// It was answered with an error, or will never be answered: it happened or it did not, and is over.
  public mutating func abandon(_ number: UInt32) {
    now += 1
    writes[Int(number)].ended = now
  }

  /// - Returns: what ``acknowledgeFlush(issued:)`` wants.
  public mutating func issueFlush() -> UInt64 {
    now += 1
    return now
  }

  public mutating func acknowledgeFlush(issued: UInt64) {
    now += 1
    guard losesPower else { return }
    var rest: [UInt32] = []
    for number in undurable {
      if writes[Int(number)].ended < issued { count(number) } else { rest.append(number) }
    }
    undurable = rest
  }

  /// The flush was answered with an error.
  public mutating func failFlush() { undurable = [] }

  /// The write is there to stay: what ended before it was issued is gone.
  private mutating func count(_ number: UInt32) {
    let write = writes[Int(number)]
    for sector in Int(write.first)..<Int(write.first + write.count) {
      supersede(sector, except: number, endedBefore: write.issued)
    }
  }

  private mutating func supersede(_ sector: Int, except number: UInt32, endedBefore time: UInt64) {
    var previous: Int32 = -1
    var index = heads[sector]
    while index >= 0 {
      let node = nodes[Int(index)]
      if node.write != number, node.supersededAt == .max, writes[Int(node.write)].ended < time {
        nodes[Int(index)].supersededAt = now
      }
      // No read that may still return it is under way.
      if nodes[Int(index)].supersededAt < oldestRead, nodes[Int(index)].supersededAt < now {
        if previous < 0 { heads[sector] = node.next } else { nodes[Int(previous)].next = node.next }
        nodes[Int(index)].next = freeNodes
        freeNodes = index
      } else {
        previous = index
      }
      index = node.next
    }
  }

  private mutating func makeNode(_ write: UInt32, next: Int32) -> Int32 {
    if freeNodes >= 0 {
      let index = freeNodes
      freeNodes = nodes[Int(index)].next
      nodes[Int(index)] = Node(write: write, next: next)
      return index
    }
    nodes.append(Node(write: write, next: next))
    return Int32(nodes.count - 1)
  }

  // MARK: Reads

  /// - Returns: what ``check(_:issued:first:count:)`` or ``forget(read:)`` wants.
  public mutating func issueRead() -> UInt64 {
    now += 1
    readsInFlight.insert(now)
    oldestRead = min(oldestRead, now)
    return now
  }

  /// The read failed: nothing was learned.
  public mutating func forget(read issued: UInt64) {
    readsInFlight.remove(issued)
    if issued == oldestRead { oldestRead = readsInFlight.min() ?? .max }
  }

  /// Holds what was read to the rules.
  /// - Parameter memory: `count` sectors, aligned to words.
  public mutating func check(_ memory: UnsafeRawPointer, issued: UInt64, first: Int, count: Int) {
    now += 1
    forget(read: issued)
    var contents: [SectorPattern.Content] = []
    contents.reserveCapacity(count)
    for index in 0..<count {
      let content = pattern.content(of: memory + index * sectorSize, sector: UInt64(first + index))
      contents.append(content)
      check(content, sector: first + index, issued: issued)
    }
    if atomicSize > sectorSize { checkWhole(contents, issued: issued, first: first) }
    sectorsChecked += UInt64(count)
  }

  private mutating func check(_ content: SectorPattern.Content, sector: Int, issued: UInt64) {
    var isAllowed = false
    var isSettled = !losesPower
    var index = heads[sector]
    while index >= 0 {
      let node = nodes[Int(index)]
      index = node.next
      guard node.supersededAt > issued else { continue }
      let write = writes[Int(node.write)]
      if write.ended >= issued || write.kind == .trim { isSettled = false }
      // A trim leaves what was there, or zeroes.
      if matches(content, node.write) { isAllowed = true }
    }
    guard isAllowed else { return report(content, sector: sector, issued: issued) }
    if isSettled { settle(content, sector: sector) }
  }

  private func matches(_ content: SectorPattern.Content, _ number: UInt32) -> Bool {
    switch content {
    case .zero: writes[Int(number)].kind != .data
    case .write(let found): found == number && writes[Int(number)].kind == .data
    case .foreign: writes[Int(number)].kind == .initial
    case .torn, .misplaced: false
    }
  }

  /// All that the sector can hold has ended: it holds what was read, and nothing else any more.
  private mutating func settle(_ content: SectorPattern.Content, sector: Int) {
    var index = heads[sector]
    while index >= 0 {
      let node = nodes[Int(index)]
      if node.supersededAt == .max, !matches(content, node.write) { nodes[Int(index)].supersededAt = now }
      index = node.next
    }
  }

  /// Looks for writes of which one sector is there and another is older.
  private mutating func checkWhole(_ contents: [SectorPattern.Content], issued: UInt64, first: Int) {
    var last: UInt32?
    for content in contents {
      guard case .write(let number) = content, number != last, number < writes.count else { continue }
      last = number
      let write = writes[Int(number)]
      guard write.ended < issued, Int(write.count) * sectorSize <= atomicSize else { continue }
      let from = max(first, Int(write.first))
      let to = min(first + contents.count, Int(write.first + write.count))
      for sector in from..<max(from, to) where isOlder(contents[sector - first], sector, than: write) {
        add(
          Violation(
            kind: .tornWrite, sector: sector, found: describe(contents[sector - first]),
            expected: [describe(write: number)]))
        break
      }
    }
  }

  /// Whether all that can have left `content` had ended before `write` was issued.
  private func isOlder(_ content: SectorPattern.Content, _ sector: Int, than write: Write) -> Bool {
    var found = false
    var index = heads[sector]
    while index >= 0 {
      let node = nodes[Int(index)]
      index = node.next
      guard matches(content, node.write) else { continue }
      if writes[Int(node.write)].ended >= write.issued { return false }
      found = true
    }
    return found
  }

  // MARK: Violations

  private mutating func add(_ violation: Violation) {
    violationCount += 1
    if violations.count < Self.violationLimit { violations.append(violation) }
  }

  private mutating func report(_ content: SectorPattern.Content, sector: Int, issued: UInt64) {
    var expected: [String] = []
    var index = heads[sector]
    while index >= 0 {
      let node = nodes[Int(index)]
      if node.supersededAt > issued { expected.append(describe(write: node.write)) }
      index = node.next
    }
    let kind: Violation.Kind =
      switch content {
      case .zero: .stale
      case .write(let number): number < writes.count ? .stale : .foreign
      case .torn: .tornSector
      case .misplaced: .misplaced
      case .foreign: .foreign
      }
    add(Violation(kind: kind, sector: sector, found: describe(content), expected: expected))
  }

  private func describe(_ content: SectorPattern.Content) -> String {
    switch content {
    case .zero: "zeroes"
    case .write(let number): describe(write: number)
    case .torn(let number): "parts of \(describe(write: number))"
    case .misplaced(let number, let sector): "\(describe(write: number)), of sector \(sector)"
    case .foreign: "bytes that this campaign never wrote"
    }
  }

  private func describe(write number: UInt32) -> String {
    if number == 0 { return "what was there before" }
    guard number < writes.count else { return "write \(number), which was never issued" }
    let write = writes[Int(number)]
    let end =
      write.ended == .max ? "in flight" : "\(write.isAcknowledged ? "acknowledged" : "given up") at \(write.ended)"
    return "\(write.kind) write \(number) (sectors \(write.first)+\(write.count), issued at \(write.issued), \(end))"
  }
}
