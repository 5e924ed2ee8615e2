import CBulkhead
import Platform

/// The admin command set (NVMe 1.4 section 5).
extension NVMeController {
  func executeAdmin(_ command: NVMeCommand) -> CommandResult {
    guard !command.isFused, !command.usesSGL else { return .failed(.invalidField) }
    switch command.opcode {
    case AdminOpcode.identify: return identify(command)
    case AdminOpcode.createCompletionQueue: return createCompletionQueue(command)
    case AdminOpcode.createSubmissionQueue: return createSubmissionQueue(command)
    case AdminOpcode.deleteCompletionQueue: return deleteCompletionQueue(command)
    case AdminOpcode.deleteSubmissionQueue: return deleteSubmissionQueue(command)
    case AdminOpcode.setFeatures: return setFeatures(command)
    case AdminOpcode.getFeatures: return getFeatures(command)
    case AdminOpcode.getLogPage: return getLogPage(command)
    case AdminOpcode.abort: return abort(command)
    case AdminOpcode.asynchronousEventRequest: return requestEvent(command)
    default: return .failed(.invalidOpcode)
    }
  }

  /// QID and the 0's based QSIZE of dword 10; nil for an identifier that is out of range.
  private func queueArguments(_ command: NVMeCommand) -> (queue: Int, entries: UInt32)? {
    let queue = Int(command.dword10 & 0xFFFF)
    guard (1...queueCount).contains(queue) else { return nil }
    return (queue, (command.dword10 >> 16) + 1)
  }

  /// Section 5.3.
  private func createCompletionQueue(_ command: NVMeCommand) -> CommandResult {
    guard let (queue, entries) = queueArguments(command), !completions[queue].exists else {
      return .failed(.invalidQueueIdentifier)
    }
    guard entries >= 2, entries <= UInt32(options.queueEntries) else { return .failed(.invalidQueueSize) }
    let vector = Int(command.dword11 >> 16)
    guard vector < vectorCount else { return .failed(.invalidInterruptVector) }
    guard command.dword11 & 1 != 0, configuration.completionEntryShift == 4 else { return .failed(.invalidField) }
    guard command.prp1 & UInt64(Self.pageBytes - 1) == 0 else { return .failed(.invalidPRPOffset) }
    completions[queue] = CompletionQueue(exists: true, address: command.prp1, entries: entries, vector: vector)
    completions[queue].interruptsEnabled = command.dword11 & 2 != 0
    registers.store(RegisterMemory.completionDoorbell(queue), 0)
    return .success
  }

  /// Section 5.4.
  private func createSubmissionQueue(_ command: NVMeCommand) -> CommandResult {
    guard let (queue, entries) = queueArguments(command), !submissions[queue].exists else {
      return .failed(.invalidQueueIdentifier)
    }
    let target = Int(command.dword11 >> 16)
    guard (1...queueCount).contains(target), completions[target].exists else {
      return .failed(.completionQueueInvalid)
    }
    guard entries >= 2, entries <= UInt32(options.queueEntries) else { return .failed(.invalidQueueSize) }
    guard command.dword11 & 1 != 0, configuration.submissionEntryShift == 6 else { return .failed(.invalidField) }
    guard command.prp1 & UInt64(Self.pageBytes - 1) == 0 else { return .failed(.invalidPRPOffset) }
    submissions[queue] = SubmissionQueue(
      exists: true, address: command.prp1, entries: entries, completionQueue: UInt16(target))
    completions[target].users += 1
    registers.store(RegisterMemory.submissionDoorbell(queue), 0)
    return .success
  }

  /// Section 5.5.
  private func deleteCompletionQueue(_ command: NVMeCommand) -> CommandResult {
    guard let (queue, _) = queueArguments(command), completions[queue].exists else {
      return .failed(.invalidQueueIdentifier)
    }
    guard completions[queue].users == 0 else { return .failed(.invalidQueueDeletion) }
    completions[queue] = CompletionQueue()
    registers.store(RegisterMemory.completionDoorbell(queue), 0)
    return .success
  }

  /// Section 5.6: what is still held ends with Command Aborted due to SQ Deletion.
  private func deleteSubmissionQueue(_ command: NVMeCommand) -> CommandResult {
    guard let (queue, _) = queueArguments(command), submissions[queue].exists else {
      return .failed(.invalidQueueIdentifier)
    }
    dropHeld(of: queue)
    let target = Int(submissions[queue].completionQueue)
    interrupt(target)
    completions[target].users -= 1
    submissions[queue] = SubmissionQueue()
    registers.store(RegisterMemory.submissionDoorbell(queue), 0)
    return .success
  }

  /// Section 5.1: only a command that is held can still be stopped.
  private func abort(_ command: NVMeCommand) -> CommandResult {
    let queue = Int(command.dword10 & 0xFFFF)
    let identifier = UInt16(command.dword10 >> 16)
    let notAborted = CommandResult(status: .success, value: 1)
    if queue == 0, let index = eventRequests.firstIndex(of: identifier), hasRoom(0) {
      eventRequests.remove(at: index)
      post(0, identifier, .failed(.abortRequested), head: submissions[0].head)
      return hasRoom(0) ? .success : notAborted
    }
    for index in 0..<heldCount where held[index].queue == queue && held[index].words.identifier == identifier {
      let target = Int(submissions[queue].completionQueue)
      guard hasRoom(target) else { return notAborted }
      removeHeld(at: index)
      post(queue, identifier, .failed(.abortRequested), head: submissions[queue].head)
      if target != 0 { interrupt(target) }
      return .success
    }
    return notAborted
  }

  private func dropHeld(of queue: Int) {
    let target = Int(submissions[queue].completionQueue)
    var index = 0
    while index < heldCount {
      guard held[index].queue == queue else {
        index += 1
        continue
      }
      let identifier = held[index].words.identifier
      removeHeld(at: index)
      if hasRoom(target) { post(queue, identifier, .failed(.abortedQueueDeletion), head: submissions[queue].head) }
    }
  }
}
