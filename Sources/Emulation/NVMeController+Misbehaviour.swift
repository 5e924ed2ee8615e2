import CBulkhead
import Platform

/// What misbehaviours make of one command. Nothing, for most.
struct Effects {
  var status = NVMeStatus.success
  var hasStatus = false
  var unknownID = false
  var duplicate = false
  var lostInterrupt = false
  var wrongPhase = false
  var badHead = false
  var head: UInt16 = 0
  /// Nanoseconds until the interrupt comes again; 0: it does not.
  var repeatAfter: Nanoseconds = 0
  var isPlain = true
  /// The command is not to be executed now, if ever.
  var isTaken = false
}

extension NVMeController {
  /// Looks at all rules for a command that was fetched.
  func misbehave(_ queue: Int, _ command: NVMeCommand) -> Effects {
    var effects = Effects()
    var delay: Nanoseconds?
    for index in armed.indices {
      let rule = armed[index].rule
      switch rule.kind {
      case .neverReady, .identify: continue
      default: break
      }
      guard rule.scope.includes(queue, command.opcode), armed[index].fires(&generator) else { continue }
      effects.isPlain = false
      switch rule.kind {
      case .badStatus(let status):
        effects.status = NVMeStatus(status)
        effects.hasStatus = true
      case .unknownID: effects.unknownID = true
      case .duplicate: effects.duplicate = true
      case .late(let time): delay = time
      case .lostInterrupt: effects.lostInterrupt = true
      case .spuriousInterrupt: for vector in 0..<vectorCount { signal(vector) }
      case .repeatedInterrupt(let time): effects.repeatAfter = max(1, time)
      case .stall(let time): return stall(queue, command, time)
      case .vanish(let time): return taken { vanish(for: time) }
      case .wrongPhase: effects.wrongPhase = true
      case .badHead(let head):
        effects.badHead = true
        effects.head = head
      case .fatal: return taken { fail() }
      case .powerLoss: return taken { losePower(during: queue, command) }
      case .neverReady, .identify: break
      // A network controller's.
      case .badLength, .noData, .noEnd, .falseChecksum, .runAhead, .strayWrite, .linkFlap, .storm: break
      }
    }
    if let delay, hold(queue, command, effects, delay) { effects.isTaken = true }
    return effects
  }

  private func taken(_ action: () -> Void) -> Effects {
    action()
    var effects = Effects()
    effects.isTaken = true
    return effects
  }

  /// The command that meets the stall is executed when it ends, if it ends.
  private func stall(_ queue: Int, _ command: NVMeCommand, _ time: Nanoseconds?) -> Effects {
    taken {
      isRunning = false
      isStalled = true
      guard let time else { return }
      // Before the resumption, so that the order of the timers is the order of the commands.
      after(time) { controller in
        guard controller.isStalled else { return }
        controller.isStalled = false
        controller.isRunning = controller.status == ControllerStatus.ready
      }
      _ = hold(queue, command, Effects(), time)
      after(time) { _ = $0.service() }
    }
  }

  private func losePower(during queue: Int, _ command: NVMeCommand) {
    if queue > 0, command.opcode == IOOpcode.write, command.namespace >= 1,
      command.namespace <= UInt32(namespaceCount)
    {
      let store = namespaces + Int(command.namespace - 1)
      if prepare(store, command, isWrite: true) == .success {
        let length = Int(command.blockCount) * store.pointee.blockSize
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 8)
        defer { bytes.deallocate() }
        var to = bytes
        for index in 0..<partCount {
          to.copyMemory(from: parts[index].base, byteCount: parts[index].length)
          to += parts[index].length
        }
        store.pointee.tear(command.firstBlock, command.blockCount, from: bytes, &generator)
      }
    }
    losePower(.some(seed: generator.next()))
  }

  /// Puts a command aside; false if there is no room for more.
  private func hold(_ queue: Int, _ command: NVMeCommand, _ effects: Effects, _ delay: Nanoseconds) -> Bool {
    guard heldCount < Self.heldLimit else { return false }
    let number = commandCount
    held[heldCount] = HeldCommand(words: command, queue: queue, number: number, effects: effects)
    heldCount += 1
    after(delay) { $0.release(number) }
    return true
  }

  func removeHeld(at index: Int) {
    heldCount -= 1
    held[index] = held[heldCount]
  }

  /// Executes a command that was put aside, unless it was aborted meanwhile.
  private func release(_ number: UInt64) {
    guard let index = (0..<heldCount).first(where: { held[$0].number == number }) else { return }
    let waiting = held[index]
    guard !isStalled, !isVanished, status == ControllerStatus.ready, submissions[waiting.queue].exists else { return }
    let target = Int(submissions[waiting.queue].completionQueue)
    guard hasRoom(target) else {
      after(1_000_000) { $0.release(number) }
      return
    }
    removeHeld(at: index)
    iommu.queue = UInt16(waiting.queue)
    iommu.command = waiting.words.identifier
    execute(waiting.queue, waiting.words, waiting.effects)
    iommu.queue = nil
    iommu.command = nil
    interrupt(target)
  }

  /// Posts a completion that is not as it should be.
  func postStrangely(_ queue: Int, _ identifier: UInt16, _ result: CommandResult, _ effects: Effects) {
    let target = Int(submissions[queue].completionQueue)
    // What came before is told of, so that losing one interrupt loses just that.
    if effects.lostInterrupt { interrupt(target) }
    let head = effects.badHead ? UInt32(effects.head) : submissions[queue].head
    // 0xFFFF itself is reserved (NVMe 1.4 figure 105), and no driver counts so far.
    let shown = effects.unknownID ? 0xFFF0 | identifier & 0xF : identifier
    for _ in 0..<(effects.duplicate ? 2 : 1) {
      guard hasRoom(target) else { return }
      post(
        queue, shown, result, head: head, phaseFlip: effects.wrongPhase ? 1 : 0, interrupts: !effects.lostInterrupt)
    }
    if effects.repeatAfter > 0 {
      let vector = completions[target].vector
      after(effects.repeatAfter) { $0.signal(vector) }
    }
  }
}

extension Misbehaviour.Scope {
  fileprivate func includes(_ queue: Int, _ opcode: UInt8) -> Bool {
    switch self {
    case .any: true
    case .admin: queue == 0
    case .io: queue > 0
    case .read: queue > 0 && opcode == IOOpcode.read
    case .write: queue > 0 && opcode == IOOpcode.write
    case .flush: queue > 0 && opcode == IOOpcode.flush
    case .receive, .transmit: false
    }
  }
}
