import CBulkhead
import Platform
import VFIO

/// An NVMe 1.4 controller in software, driven by what its registers and queues hold and never by a call of the driver.
///
/// It runs on one thread. Commands are executed where they are fetched, one at a time; for a command that behaves nothing
/// is allocated and nothing is counted. All memory it works in is made with it.
final class NVMeController: EmulatedController {
  /// Asynchronous Event Requests at most (AERL + 1).
  static let eventRequestLimit = 4
  /// Commands that can be late at a time.
  static let heldLimit = 1024
  /// MDTS: 2^8 pages, 1 MiB.
  static let transferShift: UInt8 = 8
  static let pageBytes = 4096
  /// Pieces of one transfer: its pages, one more for an offset start.
  static let partLimit = (1 << Int(transferShift)) + 1
  /// Commands that are taken from a queue before the others have their turn and the interrupt goes out.
  static let batch = 32

  let options: EmulationOptions
  let namespaces: UnsafeMutablePointer<BlockStore>
  let namespaceCount: Int
  /// Namespaces that were initialized.
  private var made = 0
  /// Index 0 is the admin queue; I/O queues are 1...queueCount.
  let submissions: UnsafeMutablePointer<SubmissionQueue>
  let completions: UnsafeMutablePointer<CompletionQueue>
  let queueCount: Int
  /// The entry that is being executed, out of the driver's reach.
  let entry = UnsafeMutableRawPointer.allocate(byteCount: NVMeCommand.size, alignment: 64)
  /// One page for data structures on their way.
  let scratch = UnsafeMutableRawPointer.allocate(byteCount: pageBytes, alignment: pageBytes)
  let parts = UnsafeMutablePointer<bh_part>.allocate(capacity: partLimit)
  var partCount = 0
  let held = UnsafeMutablePointer<HeldCommand>.allocate(capacity: heldLimit)
  var heldCount = 0

  var configuration = ControllerConfiguration(rawValue: 0)
  var status: UInt32 = 0
  /// Ready, and neither fatal, shut down, stalled nor vanished: commands are fetched.
  var isRunning = false
  var isStalled = false
  /// CC.EN is 1 and CSTS.RDY stays 0.
  var isRefusing = false
  var features = Features()
  var eventRequests: [UInt16] = []
  var pendingEvents: [UInt32] = []
  /// Event types that were reported and whose log page was not read (section 5.2).
  var maskedEvents: UInt8 = 0
  var commandCount: UInt64 = 0
  /// A command was left in its queue because there was no room for its completion.
  var isWaitingForRoom = false
  /// What holds the blocks of all namespaces, and its mapping if it is a memfd; they outlive the namespaces.
  private let medium: Descriptor
  private let mapping: MappedMemory?

  /// - Throws: `emulated-image`, `emulated-memory`, `mmap`.
  init(
    _ options: EmulationOptions, medium: consuming Descriptor, registers: RegisterMemory, loop: EventLoop
  ) throws(Failure) {
    self.options = options
    queueCount = options.queues
    submissions = .allocate(capacity: queueCount + 1)
    submissions.initialize(repeating: SubmissionQueue(), count: queueCount + 1)
    completions = .allocate(capacity: queueCount + 1)
    completions.initialize(repeating: CompletionQueue(), count: queueCount + 1)
    namespaces = .allocate(capacity: options.namespaces)
    namespaceCount = options.namespaces
    let size = try options.namespaceSize(of: medium.number)
    var base: UnsafeMutableRawPointer?
    if bh_image_is_sealed(medium.number) == 1 {
      let mapped = try MappedMemory(file: medium.number, length: roundedToPages(size * options.namespaces))
      base = mapped.base
      mapping = consume mapped
    } else {
      mapping = nil
    }
    self.medium = medium
    super.init(options, registers: registers, loop: loop)
    while made < namespaceCount {
      let media = BlockMedia(
        file: self.medium.number, mapping: base, offset: made * size, size: size, syncs: options.sync)
      (namespaces + made).initialize(
        to: try BlockStore(
          media, blockSize: options.blockSize, atomicBlocks: options.atomicBlocks,
          journaled: options.journal && options.cache, isReadOnly: options.readOnly))
      made += 1
    }
    powerOn()
  }

  deinit {
    namespaces.deinitialize(count: made)
    namespaces.deallocate()
    submissions.deallocate()
    completions.deallocate()
    entry.deallocate()
    scratch.deallocate()
    parts.deallocate()
    held.deallocate()
  }

  /// Looks at the registers and the queues and does what there is to do; returns whether there was anything.
  override func service() -> Bool {
    guard !isVanished else {
      registers.fill(0xFF)
      return false
    }
    guard isMemoryEnabled else { return false }
    var worked = false
    isWaitingForRoom = false
    let wanted = registers.load(RegisterOffset.cc)
    if wanted != configuration.rawValue {
      configure(ControllerConfiguration(rawValue: wanted))
      worked = true
    } else if isRefusing, missedReset() {
      resetController()
      enable()
      worked = true
    }
    var queue = 0
    while isRunning, queue <= queueCount {
      if submissions[queue].exists, drain(queue) { worked = true }
      queue += 1
    }
    if isRunning { checkCompletionHeads() }
    return worked
  }

  override var restingBell: UInt32 { isWaitingForRoom ? BellWanted.all : BellWanted.submissions }

  override func powerOn() { returnToDefaults() }
  override func showRegisters() { publish() }
  override func settle() { for index in 0..<namespaceCount { _ = namespaces[index].flush() } }

  /// Runs `action` later, unless the controller is reset or gone by then.
  func after(_ delay: Nanoseconds, _ action: @escaping (NVMeController) -> Void) {
    later(delay) { action(unsafeDowncast($0, to: NVMeController.self)) }
  }
}

/// The vendor's register behind the doorbells: which writes need the bell (`DriverFile.bellWantedOffset`).
enum BellWanted {
  /// While the controller waits for room in a completion queue.
  static let all: UInt32 = .max
  /// CC, number 5, and the submission queues' doorbells, which have even numbers. That a completion was taken is of no
  /// interest before there is no room for another; the doorbells that share CC's number ring in vain.
  static let submissions: UInt32 = 0x5555_5575
}

/// A command that happens later.
struct HeldCommand {
  var words: NVMeCommand
  var queue: Int
  var number: UInt64
  var effects: Effects
}
