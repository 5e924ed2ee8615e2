import Platform

/// One way in which the emulated device breaks its promises, and when.
///
/// As text: `kind:parameter=value:...`, for example `lost-interrupt:every=50` or `stall:after=100:for=2s:on=io`.
public struct Misbehaviour: Sendable, Equatable {
  /// What happens to the command, or to the device, when the trigger fires.
  public enum Kind: Sendable, Equatable {
    /// The command is not executed and ends with this status: code in bits 0-7, code type in bits 8-10 (NVMe 1.4
    /// section 4.6.1). 0x281 is an unrecovered read error.
    case badStatus(UInt16)
    /// The command is executed, but its completion bears an identifier that no driver uses.
    case unknownID
    /// The completion is posted twice; the frame is received, or sent, twice.
    case duplicate
    /// The command, its DMA included, happens so much later.
    case late(Nanoseconds)
    /// The completion is posted without an interrupt.
    case lostInterrupt
    /// Every wired vector is signalled with nothing to show for it.
    case spuriousInterrupt
    /// The interrupt of the completion comes again after so long.
    case repeatedInterrupt(Nanoseconds)
    /// Nothing is fetched or completed for so long; nil: until the controller is reset. A network controller stops in the
    /// direction of the frame, if the rule is about one direction.
    case stall(Nanoseconds?)
    /// The device is gone: registers and configuration space read as all ones, for so long; nil: for ever.
    case vanish(Nanoseconds?)
    /// The completion bears the phase tag of the last lap.
    case wrongPhase
    /// The completion says that the submission queue's head is here (NVMe 1.4 section 4.6); a network controller's head
    /// registers say so.
    case badHead(UInt16)
    /// Controller fatal status: CSTS.CFS, then silence until a reset.
    case fatal
    /// CSTS.RDY stays 0 after CC.EN = 1; a network controller's CTRL.RST stays 1. Counts enablings or resets.
    case neverReady
    /// Identify tells an untruth. Counts Identify commands of the data structure concerned.
    case identify(IdentifyLie)
    /// Power fails in the middle of the command, and comes back at once: the device is as after power-on.
    case powerLoss

    // A network controller's. Sections are those of the 82574 datasheet.

    /// The receive descriptor says that so many bytes are in its buffer (7.1.4.1).
    case badLength(UInt16)
    /// The receive descriptor is written back, but nothing was written to its buffer.
    case noData
    /// The receive descriptor lacks EOP: the frame goes on (7.1.4.2).
    case noEnd
    /// A byte of the frame is changed, and the descriptor says that the checksums are right (7.1.4.2, 7.1.4.3).
    case falseChecksum
    /// So many descriptors that the driver has not given are written back as done.
    case runAhead(UInt16)
    /// The frame is written where the device was given no memory.
    case strayWrite
    /// The link goes down for so long.
    case linkFlap(Nanoseconds)
    /// Every wired vector is signalled without end for so long.
    case storm(Nanoseconds)
  }

  /// Which commands count and can be hit; for a network controller, which frames.
  public enum Scope: String, Sendable, CaseIterable {
    case any, admin, io, read, write, flush, receive, transmit
  }

  public var kind: Kind
  public var scope: Scope
  /// Occasions that pass unharmed before the count for ``every`` begins.
  public var after: UInt64
  /// Fires at every nth occasion; 1: each.
  public var every: UInt64
  /// Fires with this probability where it would otherwise surely fire, in millionths.
  public var chance: UInt32
  /// Fires at most so often.
  public var count: UInt64

  public init(
    _ kind: Kind, scope: Scope = .any, after: UInt64 = 0, every: UInt64 = 1, chance: UInt32 = 1_000_000,
    count: UInt64 = .max
  ) {
    self.kind = kind
    self.scope = scope
    self.after = after
    self.every = max(1, every)
    self.chance = chance
    self.count = count
  }
}

/// What Identify can lie about (NVMe 1.4 figures 245 and 247).
public enum IdentifyLie: Sendable, Equatable {
  /// NSZE and NCAP, in logical blocks.
  case blocks(UInt64)
  /// LBADS: logical block size as a power of two. 9 and 12 are honest values.
  case blockShift(UInt8)
  /// MDTS: the most data of a command as a power of two of pages; 0: no limit.
  case transferShift(UInt8)
  /// NN: number of namespaces.
  case namespaces(UInt32)
  /// FLBAS: a format that does not exist.
  case format(UInt8)
  /// SQES and CQES: required and maximum entry sizes.
  case entrySizes(UInt8)

  var isAboutController: Bool {
    switch self {
    case .transferShift, .namespaces, .entrySizes: true
    case .blocks, .blockShift, .format: false
    }
  }
}

/// A misbehaviour and how far it has come.
struct ArmedMisbehaviour {
  let rule: Misbehaviour
  private var occasions: UInt64 = 0
  private var fired: UInt64 = 0

  init(_ rule: Misbehaviour) { self.rule = rule }

  /// Counts an occasion and says whether this is one to fire at.
  mutating func fires(_ generator: inout SeededGenerator) -> Bool {
    occasions += 1
    guard fired < rule.count, occasions > rule.after, (occasions - rule.after) % rule.every == 0 else { return false }
    if rule.chance < 1_000_000, generator.next() % 1_000_000 >= UInt64(rule.chance) { return false }
    fired += 1
    return true
  }
}
