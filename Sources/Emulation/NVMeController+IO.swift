import CBulkhead
import Platform

/// The NVM command set (NVMe 1.4 section 6).
extension NVMeController {
  func executeIO(_ command: NVMeCommand) -> CommandResult {
    guard !command.isFused, !command.usesSGL else { return .failed(.invalidField) }
    if command.opcode == IOOpcode.flush { return flush(command.namespace) }
    let namespace = command.namespace
    guard namespace >= 1, namespace <= UInt32(namespaceCount) else { return .failed(.invalidNamespace) }
    let store = namespaces + Int(namespace - 1)
    switch command.opcode {
    case IOOpcode.read: return read(store, command)
    case IOOpcode.write: return write(store, command)
    case IOOpcode.writeZeroes: return writeZeroes(store, command)
    case IOOpcode.datasetManagement: return manageDataset(store, command)
    default: return .failed(.invalidOpcode)
    }
  }

  /// Whether a write must be durable when it completes.
  @inline(__always)
  func isDurable(_ command: NVMeCommand) -> Bool { !features.writeCache || !options.cache || command.forcesUnitAccess }

  /// Section 6.8. All namespaces for FFFFFFFFh (VWC bits 2:1).
  private func flush(_ namespace: UInt32) -> CommandResult {
    if namespace == .max {
      for index in 0..<namespaceCount { guard namespaces[index].flush() else { return .failed(.writeFault) } }
      return .success
    }
    guard namespace >= 1, namespace <= UInt32(namespaceCount) else { return .failed(.invalidNamespace) }
    return namespaces[Int(namespace - 1)].flush() ? .success : .failed(.writeFault)
  }

  @inline(__always)
  private func isInRange(_ store: UnsafeMutablePointer<BlockStore>, _ first: UInt64, _ count: UInt64) -> Bool {
    count <= store.pointee.blocks && first <= store.pointee.blocks - count
  }

  /// Checks and gathers a transfer (section 6.9, 6.15): MDTS first, then the range, then the pointers.
  func prepare(_ store: UnsafeMutablePointer<BlockStore>, _ command: NVMeCommand, isWrite: Bool) -> NVMeStatus {
    let length = Int(command.blockCount) * store.pointee.blockSize
    guard length <= Self.pageBytes << Int(Self.transferShift) else { return .invalidField }
    guard isInRange(store, command.firstBlock, command.blockCount) else { return .lbaOutOfRange }
    if isWrite, store.pointee.isReadOnly { return .writeProtected }
    return gather(command, length, isWrite ? .deviceReads : .deviceWrites)
  }

  private func read(_ store: UnsafeMutablePointer<BlockStore>, _ command: NVMeCommand) -> CommandResult {
    let status = prepare(store, command, isWrite: false)
    guard status == .success else { return .failed(status) }
    let done = store.pointee.read(command.firstBlock, command.blockCount, into: parts, partCount)
    return done ? .success : .failed(.unrecoveredRead)
  }

  private func write(_ store: UnsafeMutablePointer<BlockStore>, _ command: NVMeCommand) -> CommandResult {
    let status = prepare(store, command, isWrite: true)
    guard status == .success else { return .failed(status) }
    let done = store.pointee.write(
      command.firstBlock, command.blockCount, from: parts, partCount, durable: isDurable(command))
    return done ? .success : .failed(.writeFault)
  }

  /// Section 6.17. No data, so MDTS does not bound it.
  private func writeZeroes(_ store: UnsafeMutablePointer<BlockStore>, _ command: NVMeCommand) -> CommandResult {
    guard isInRange(store, command.firstBlock, command.blockCount) else { return .failed(.lbaOutOfRange) }
    guard !store.pointee.isReadOnly else { return .failed(.writeProtected) }
    let done = store.pointee.zero(
      command.firstBlock, command.blockCount, punch: command.deallocates, durable: isDurable(command))
    return done ? .success : .failed(.writeFault)
  }

  /// Section 6.7: deallocated blocks read as zeroes (DLFEAT). The other attributes are hints.
  private func manageDataset(_ store: UnsafeMutablePointer<BlockStore>, _ command: NVMeCommand) -> CommandResult {
    let ranges = Int(command.dword10 & 0xFF) + 1
    let status = receiveScratch(command, ranges * 16)
    guard status == .success else { return .failed(status) }
    guard command.dword11 & 4 != 0 else { return .success }
    guard !store.pointee.isReadOnly else { return .failed(.writeProtected) }
    for index in 0..<ranges {
      let (count, first) = range(index)
      guard isInRange(store, first, count) else { return .failed(.lbaOutOfRange) }
    }
    for index in 0..<ranges {
      let (count, first) = range(index)
      let durable = !features.writeCache || !options.cache
      guard count == 0 || store.pointee.zero(first, count, punch: true, durable: durable) else {
        return .failed(.writeFault)
      }
    }
    return .success
  }

  private func range(_ index: Int) -> (count: UInt64, first: UInt64) {
    let place = scratch + 16 * index
    return (UInt64(place.load(fromByteOffset: 4, as: UInt32.self)), place.load(fromByteOffset: 8, as: UInt64.self))
  }
}
