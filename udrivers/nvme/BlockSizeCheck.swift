import DriverKit

/// Whether a block has as many bytes as Identify says.
///
/// No command carries a number of bytes: with a wrong block size the controller transfers more or less than the driver
/// thinks, and puts it elsewhere. Reading one block shows how much that is.
extension NVMeDriver {
  /// An identifier that no command of a request has: its slot is the last one.
  private static let checkID: UInt16 = 0xFFFF
  /// LBA Out of Range.
  private static let outOfRange = CommandStatus(type: .generic, code: 0x80)

  /// Reads the last block of every namespace, with nothing else in flight. A block that cannot be read proves nothing.
  /// - Throws: ``FailureCode/deviceError`` when a block is larger or smaller, or is not there; ``FailureCode/timeout``.
  func checkBlockSizes() throws(DriverFailure) {
    guard namespaceCount > 0, queueCount > 0 else { return }
    var largest: UInt32 = 4096
    for index in 0..<namespaceCount { largest = max(largest, namespaces[index].blockSize) }
    let buffer = try device.arena.allocate(Int(largest), for: "a block to check")
    let list = try device.arena.allocate(PRPList.byteCount, for: "the block's PRP list")
    for index in 0..<namespaceCount { try checkBlockSize(of: namespaces[index], buffer, list) }
  }

  private func checkBlockSize(
    of namespace: Namespace, _ buffer: DMAMemory, _ list: DMAMemory
  ) throws(DriverFailure) {
    // Two patterns: what differs from either was written.
    var touched = [Bool](repeating: false, count: buffer.length)
    for pattern: UInt8 in [0x5A, 0xA5] {
      buffer.pointer.initializeMemory(as: UInt8.self, repeating: pattern, count: buffer.length)
      let status = try readLastBlock(of: namespace, buffer, list)
      if status.typeCode == Self.outOfRange.typeCode, status.code == Self.outOfRange.code {
        throw DriverFailure(
          .deviceError, "namespace \(namespace.id) has no block \(namespace.blocks - 1), which Identify promises")
      }
      guard status.isSuccess else { return }
      let bytes = UnsafeRawBufferPointer(start: buffer.pointer, count: buffer.length)
      for index in 0..<buffer.length where bytes[index] != pattern { touched[index] = true }
    }
    let length = (touched.lastIndex(of: true) ?? -1) + 1
    guard length == Int(namespace.blockSize) else {
      throw DriverFailure(
        .deviceError,
        "a block of namespace \(namespace.id) has \(length) bytes, not the \(namespace.blockSize) that Identify promises"
      )
    }
  }

  private func readLastBlock(
    of namespace: Namespace, _ buffer: DMAMemory, _ list: DMAMemory
  ) throws(DriverFailure) -> CommandStatus {
    var entry = SubmissionEntry.transfer(
      .read, namespace: namespace.id, block: namespace.blocks - 1, blocks: 1, forceUnitAccess: false)
    let entries = list.pointer.assumingMemoryBound(to: UInt64.self)
    // The whole buffer is described, so that a block of another size does not leave it.
    guard
      let prp = PRPList.describe(
        address: buffer.address, length: UInt64(buffer.length), list: entries, listAddress: list.address)
    else { throw DriverFailure(.resources, "the block to check cannot be described") }
    (entry.prp1, entry.prp2) = (prp.prp1, prp.prp2)
    entry.commandID = Self.checkID
    let queue = queues
    queue.pointee.pair.push(entry)
    queue.pointee.pair.ring()
    var status: CommandStatus?
    try device.wait(step: "read a block of namespace \(namespace.id)", deadline: timeout) { () throws(DriverFailure) in
      while let completion = queue.pointee.pair.pop() {
        if completion.commandID == Self.checkID { status = completion.status }
      }
      queue.pointee.pair.acknowledge()
      guard try controller?.status().isFatal != true else {
        throw DriverFailure(.deviceError, "the controller reports a fatal error")
      }
      return status != nil
    }
    return status ?? .success
  }
}
