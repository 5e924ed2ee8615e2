import CBulkhead
import Platform

/// Fetching commands and posting completions (NVMe 1.4 section 4.1 and 4.6).
extension NVMeController {
  /// Takes what is in a submission queue, up to a batch; returns whether it took any.
  func drain(_ queue: Int) -> Bool {
    let tail = registers.load(RegisterMemory.submissionDoorbell(queue))
    guard tail != submissions[queue].head else { return false }
    guard tail < submissions[queue].entries else {
      if submissions[queue].reportedTail != tail {
        submissions[queue].reportedTail = tail
        report(.invalidDoorbellValue)
      }
      return false
    }
    bh_dma_read_barrier()
    let completionQueue = Int(submissions[queue].completionQueue)
    var taken = 0
    while taken < Self.batch, submissions[queue].exists, submissions[queue].head != tail {
      guard hasRoom(completionQueue) else {
        isWaitingForRoom = true
        break
      }
      iommu.queue = UInt16(queue)
      iommu.command = nil
      let head = submissions[queue].head
      let address = submissions[queue].address &+ UInt64(head) * UInt64(NVMeCommand.size)
      guard let source = iommu.translate(address, NVMeCommand.size, .deviceReads) else {
        fail()
        break
      }
      entry.copyMemory(from: source, byteCount: NVMeCommand.size)
      submissions[queue].head = head + 1 == submissions[queue].entries ? 0 : head + 1
      taken += 1
      process(queue, NVMeCommand(at: entry))
      guard isRunning else { break }
    }
    iommu.queue = nil
    iommu.command = nil
    if taken > 0 { interrupt(completionQueue) }
    return taken > 0
  }

  private func process(_ queue: Int, _ command: NVMeCommand) {
    commandCount &+= 1
    iommu.command = command.identifier
    var effects = Effects()
    if !armed.isEmpty {
      effects = misbehave(queue, command)
      guard !effects.isTaken else { return }
    }
    execute(queue, command, effects)
  }

  /// Runs a command and posts its completion.
  func execute(_ queue: Int, _ command: NVMeCommand, _ effects: Effects) {
    let result: CommandResult
    if effects.hasStatus {
      result = .failed(effects.status)
    } else {
      result = queue == 0 ? executeAdmin(command) : executeIO(command)
    }
    guard !result.isHeld else { return }
    if effects.isPlain {
      post(queue, command.identifier, result, head: submissions[queue].head)
    } else {
      postStrangely(queue, command.identifier, result, effects)
    }
  }

  /// Whether a completion queue has a free entry, by the driver's newest word.
  func hasRoom(_ queue: Int) -> Bool {
    guard completions[queue].isFull else { return true }
    updateHead(queue)
    return !completions[queue].isFull
  }

  /// Writes a completion queue entry; its last dword, with the phase tag, last. The caller has made sure of room.
  func post(
    _ queue: Int, _ identifier: UInt16, _ result: CommandResult, head: UInt32, phaseFlip: UInt32 = 0,
    interrupts: Bool = true
  ) {
    let target = Int(submissions[queue].completionQueue)
    let tail = completions[target].tail
    let address = completions[target].address &+ UInt64(tail) * UInt64(CompletionQueue.entrySize)
    guard let place = iommu.translate(address, CompletionQueue.entrySize, .deviceWrites) else {
      fail()
      return
    }
    bh_store32(place, result.value)
    bh_store32(place + 4, 0)
    bh_store32(place + 8, head & 0xFFFF | UInt32(queue) << 16)
    bh_dma_write_barrier()
    let phase = completions[target].phase ^ phaseFlip
    bh_store32(place + 12, UInt32(identifier) | phase << 16 | UInt32(result.status.field) << 17)
    completions[target].tail = tail + 1
    if tail + 1 == completions[target].entries {
      completions[target].tail = 0
      completions[target].phase ^= 1
    }
    if interrupts { completions[target].isPending = true }
  }

  /// Signals the vector of a completion queue if something was posted.
  func interrupt(_ queue: Int) {
    guard completions[queue].isPending else { return }
    completions[queue].isPending = false
    guard completions[queue].interruptsEnabled else { return }
    signal(completions[queue].vector)
  }

  func checkCompletionHeads() {
    for queue in 0...queueCount where completions[queue].exists { updateHead(queue) }
  }

  /// Reads a completion queue's head doorbell. It can only move over entries that were posted.
  private func updateHead(_ queue: Int) {
    let entries = completions[queue].entries
    let head = completions[queue].head
    let wanted = registers.load(RegisterMemory.completionDoorbell(queue))
    guard wanted != head else { return }
    let posted = (completions[queue].tail &+ entries &- head) % entries
    guard wanted < entries, (wanted &+ entries &- head) % entries <= posted else {
      // Said once: the doorbell shows the head that counts again.
      registers.store(RegisterMemory.completionDoorbell(queue), head)
      report(.invalidDoorbellValue)
      return
    }
    completions[queue].head = wanted
  }
}
