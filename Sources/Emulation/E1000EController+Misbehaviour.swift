import CBulkhead
import Platform

/// What misbehaviours make of a frame that is received. Nothing, for most.
struct E1000EReceiveEffects {
  var length: UInt16?
  var noData = false
  var noEnd = false
  var falseChecksum = false
  var isStray = false
  var copies = 1
  var runAhead = 0
  var head: UInt16?
  /// The frame is not to be received.
  var isTaken = false
}

/// And of one that is sent.
struct E1000ETransmitEffects {
  var copies = 1
  var runAhead = 0
  var head: UInt16?
  /// The frame is not to be sent.
  var isTaken = false
}

extension E1000EController {
  /// Looks at all rules for a frame that passed the filters.
  func misbehave(receiving frame: E1000EFrame) -> E1000EReceiveEffects {
    var effects = E1000EReceiveEffects()
    for index in armed.indices {
      let rule = armed[index].rule
      guard rule.scope != .transmit, rule.kind != .neverReady, armed[index].fires(&generator) else { continue }
      switch rule.kind {
      case .badLength(let length): effects.length = length
      case .noData: effects.noData = true
      case .noEnd: effects.noEnd = true
      case .falseChecksum:
        // The last byte of what was sent, or of its padding.
        let place = frame.length - 1
        frame.bytes.storeBytes(of: frame.get8(place) ^ 0xFF, toByteOffset: place, as: UInt8.self)
        effects.falseChecksum = true
      case .strayWrite: effects.isStray = true
      case .duplicate: effects.copies = 2
      case .runAhead(let count): effects.runAhead = Int(count)
      case .badHead(let head): effects.head = head
      default: effects.isTaken = disturb(rule, isReceive: true) || effects.isTaken
      }
    }
    return effects
  }

  /// Looks at all rules for a frame that is to be sent.
  func misbehaveTransmitting() -> E1000ETransmitEffects {
    var effects = E1000ETransmitEffects()
    for index in armed.indices {
      let rule = armed[index].rule
      guard rule.scope != .receive, rule.kind.canConcernTransmit, armed[index].fires(&generator) else { continue }
      switch rule.kind {
      case .duplicate: effects.copies = 2
      case .runAhead(let count): effects.runAhead = Int(count)
      case .badHead(let head): effects.head = head
      default: effects.isTaken = disturb(rule, isReceive: false) || effects.isTaken
      }
    }
    return effects
  }

  /// What is not about the frame itself; true: the frame is lost by it.
  private func disturb(_ rule: Misbehaviour, isReceive: Bool) -> Bool {
    switch rule.kind {
    case .lostInterrupt: losesInterrupt = true
    case .spuriousInterrupt: for vector in 0..<vectorCount { signal(vector) }
    case .repeatedInterrupt(let time):
      let vector = Int(word(E1000ERegister.ivar) >> (isReceive ? 0 : 8) & 7)
      later(time) { $0.signal(vector) }
    case .linkFlap(let time): flap(for: time)
    case .storm(let time): stormEnd = monotonicNow() + time
    case .stall(let time): stall(rule.scope, for: time)
    case .vanish(let time):
      vanish(for: time)
      return true
    default: break
    }
    return false
  }

  /// This frame is the last one before it.
  private func stall(_ scope: Misbehaviour.Scope, for time: Nanoseconds?) {
    stalled = (stalled.receive || scope != .transmit, stalled.transmit || scope != .receive)
    guard let time else { return }
    later(time) { controller in
      unsafeDowncast(controller, to: E1000EController.self).stalled = (false, false)
      _ = controller.service()
    }
  }

  private func flap(for time: Nanoseconds) {
    isFlapping = true
    updateLink()
    later(time) { controller in
      let controller = unsafeDowncast(controller, to: E1000EController.self)
      controller.isFlapping = false
      controller.updateLink()
    }
  }

  /// Signals every vector, as long as a storm lasts.
  func isStorming() -> Bool {
    guard let stormEnd else { return false }
    guard monotonicNow() < stormEnd else {
      self.stormEnd = nil
      return false
    }
    for vector in 0..<vectorCount { signal(vector) }
    return true
  }

  /// Writes descriptors back from the head on, whether the driver has given them or not; the head stays.
  func runAhead(_ ring: E1000ERing, _ count: Int, isReceive: Bool) {
    for step in 0..<min(count, ring.entries) {
      let address = ring.place((ring.head + step) % ring.entries)
      // DD and EOP, for a frame of the shortest length.
      if isReceive { writeBack(address, 60, 3, nil) } else { writeBackTransmit(address) }
    }
  }
}

extension Misbehaviour.Kind {
  fileprivate var canConcernTransmit: Bool {
    switch self {
    case .badLength, .noData, .noEnd, .falseChecksum, .strayWrite, .neverReady: false
    default: true
    }
  }
}
