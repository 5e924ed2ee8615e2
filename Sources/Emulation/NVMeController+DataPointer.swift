import CBulkhead
import VFIO

/// Physical region pages (NVMe 1.4 section 4.3).
extension NVMeController {
  /// Turns PRP 1 and PRP 2 into ``parts`` for `length` bytes. Every address passes the IOMMU; each list entry is read
  /// once. Nothing is transferred if it fails.
  func gather(_ command: NVMeCommand, _ length: Int, _ access: DMAAccess) -> NVMeStatus {
    partCount = 0
    let page = UInt64(Self.pageBytes)
    let offset = command.prp1 & (page - 1)
    guard offset & 3 == 0 else { return .invalidPRPOffset }
    let first = min(length, Int(page - offset))
    guard append(command.prp1, first, access) else { return .dataTransferError }
    var left = length - first
    guard left > 0 else { return .success }
    if left <= Self.pageBytes {
      guard command.prp2 & (page - 1) == 0 else { return .invalidPRPOffset }
      return append(command.prp2, left, access) ? .success : .dataTransferError
    }
    guard command.prp2 & 7 == 0 else { return .invalidPRPOffset }
    var list = command.prp2
    while left > 0 {
      // A list ends at its page; its last entry leads to the next one if more than a page is left.
      let entries = Int(page - list & (page - 1)) / 8
      guard let base = iommu.translate(list, entryCount(for: left, room: entries) * 8, .deviceReads) else {
        return .dataTransferError
      }
      var index = 0
      var next: UInt64?
      while left > 0, index < entries {
        let address = bh_load64(base + 8 * index)
        guard address & (page - 1) == 0 else { return .invalidPRPOffset }
        if index == entries - 1, left > Self.pageBytes {
          next = address
          break
        }
        let piece = min(left, Self.pageBytes)
        guard append(address, piece, access) else { return .dataTransferError }
        left -= piece
        index += 1
      }
      if left > 0 {
        guard let next else { return .invalidPRPOffset }
        list = next
      }
    }
    return .success
  }

  /// How many entries of a list are read.
  private func entryCount(for left: Int, room: Int) -> Int { min(room, (left + Self.pageBytes - 1) / Self.pageBytes) }

  private func append(_ address: UInt64, _ length: Int, _ access: DMAAccess) -> Bool {
    guard let place = iommu.translate(address, length, access) else { return false }
    if partCount > 0, let last = parts[partCount - 1].base, last + parts[partCount - 1].length == place {
      parts[partCount - 1].length += length
    } else {
      parts[partCount] = bh_part(base: place, length: length)
      partCount += 1
    }
    return true
  }

  /// Sends `length` bytes of ``scratch`` to the driver.
  func sendScratch(_ command: NVMeCommand, _ length: Int) -> CommandResult {
    let status = gather(command, length, .deviceWrites)
    guard status == .success else { return .failed(status) }
    var from = scratch
    for index in 0..<partCount {
      parts[index].base.copyMemory(from: from, byteCount: parts[index].length)
      from += parts[index].length
    }
    return .success
  }

  /// Fetches `length` bytes into ``scratch``.
  func receiveScratch(_ command: NVMeCommand, _ length: Int) -> NVMeStatus {
    let status = gather(command, length, .deviceReads)
    guard status == .success else { return status }
    var to = scratch
    for index in 0..<partCount {
      to.copyMemory(from: parts[index].base, byteCount: parts[index].length)
      to += parts[index].length
    }
    return .success
  }

  func clearScratch() { scratch.initializeMemory(as: UInt8.self, repeating: 0, count: Self.pageBytes) }
}
