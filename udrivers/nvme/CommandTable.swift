import DriverKit

/// A command that the controller has, or has to get.
struct CommandSlot {
  var commandID: UInt16 = 0
  var isActive = false
  /// Abort was sent.
  var isAborting = false
  /// How often the command failed, and how often it ran out of time.
  var retries: UInt8 = 0
  var timeouts: UInt8 = 0
  /// The driver's tick at which time is up.
  var deadline: UInt32 = 0
  /// Logical blocks done by earlier commands of the same request, and those of the present one.
  var blocksDone: UInt64 = 0
  var blocksNow: UInt32 = 0
  var request: BlockRequest
  /// Where the request came from and goes back to.
  var queue: BlockQueue
}

/// The commands in flight on one queue pair, by slot. All memory is taken once.
///
/// A command identifier is the slot in its lower bits and, above, a number that changes with every use, so that a late or
/// repeated completion is not taken for that of the slot's next command.
struct CommandTable: ~Copyable {
  static let slotBits: UInt16 = 10
  /// The most slots: what the lower bits of an identifier can name.
  static let maximumSlots = 1 << 10

  let count: Int
  private let slots: UnsafeMutablePointer<CommandSlot>
  private let isInitialized: UnsafeMutablePointer<Bool>
  private let free: UnsafeMutablePointer<UInt16>
  private var freeCount: Int
  private let lists: DMAMemory

  /// - Throws: ``FailureCode/resources`` when there is no memory for the PRP lists.
  init(slots count: Int, arena: inout Arena) throws(DriverFailure) {
    precondition(count > 0 && count <= Self.maximumSlots)
    lists = try arena.allocate(count * PRPList.byteCount, for: "PRP lists")
    self.count = count
    slots = .allocate(capacity: count)
    isInitialized = .allocate(capacity: count)
    isInitialized.initialize(repeating: false, count: count)
    free = .allocate(capacity: count)
    for index in 0..<count { (free + index).initialize(to: UInt16(count - 1 - index)) }
    freeCount = count
  }

  deinit {
    slots.deallocate()
    isInitialized.deallocate()
    free.deallocate()
  }

  var inFlight: Int { count - freeCount }
  var hasRoom: Bool { freeCount > 0 }

  /// The slot, which must have been used before.
  subscript(index: Int) -> UnsafeMutablePointer<CommandSlot> {
    precondition(index >= 0 && index < count && isInitialized[index], "no such slot")
    return slots + index
  }

  func isActive(_ index: Int) -> Bool { isInitialized[index] && slots[index].isActive }

  /// Takes a free slot for `request`; there must be one.
  mutating func take(_ request: BlockRequest, from queue: BlockQueue) -> Int {
    precondition(freeCount > 0)
    freeCount -= 1
    let index = Int(free[freeCount])
    let old = isInitialized[index] ? slots[index].commandID : UInt16(index)
    (slots + index).initialize(to: CommandSlot(commandID: old, isActive: true, request: request, queue: queue))
    isInitialized[index] = true
    renewID(index)
    return index
  }

  /// The slot's next command gets another identifier.
  func renewID(_ index: Int) { slots[index].commandID &+= 1 << Self.slotBits }

  mutating func release(_ index: Int) {
    precondition(isActive(index))
    slots[index].isActive = false
    free[freeCount] = UInt16(index)
    freeCount += 1
  }

  /// The slot whose present command has this identifier.
  @inline(__always)
  func find(_ commandID: UInt16) -> Int? {
    let index = Int(commandID & ((1 << Self.slotBits) - 1))
    guard index < count, isActive(index), slots[index].commandID == commandID else { return nil }
    return index
  }

  /// Memory of the slot's PRP list; also the place of a dataset range.
  @inline(__always)
  func list(_ index: Int) -> DMAMemory { lists.slice(index * PRPList.byteCount, PRPList.byteCount) }
}
