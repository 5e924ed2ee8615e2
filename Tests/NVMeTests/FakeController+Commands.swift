import Glibc

@testable import NVMe

extension FakeController {
  func executeAdmin(_ entry: SubmissionEntry) {
    admin.append(entry)
    let queue = UInt16(truncatingIfNeeded: entry.dword10)
    let entries = Int(entry.dword10 >> 16) + 1
    switch entry.opcode {
    case 0x06: identify(entry)
    case 0x09:
      let granted = min(entry.dword11 & 0xffff, queueLimit - 1)
      return complete(entry.commandID, on: 0, result: granted << 16 | granted)
    case 0x05:
      completion[queue] = Queue(base: entry.prp1, entries: entries, vector: UInt16(entry.dword11 >> 16))
    case 0x01: submission[queue] = Queue(base: entry.prp1, entries: entries)
    case 0x00: submission[queue] = nil
    case 0x04: completion[queue] = nil
    case 0x08: break
    default: return complete(entry.commandID, on: 0, status: 0x4001)
    }
    complete(entry.commandID, on: 0)
  }

  private func identify(_ entry: SubmissionEntry) {
    guard let page = at(entry.prp1, 4096) else { return }
    memset(page, 0, 4096)
    switch entry.dword10 & 0xff {
    case 0: identifyNamespace(page)
    case 1: identifyController(page)
    default:
      for (index, id) in namespaces.enumerated() {
        page.storeBytes(of: id, toByteOffset: index * 4, as: UInt32.self)
      }
    }
  }

  func identifyController(_ page: UnsafeMutableRawPointer) {
    page.storeBytes(of: 0x1b36, as: UInt16.self)
    put("SERIAL-7", page + 4, 20)
    put("Fake controller", page + 24, 40)
    put("1.0", page + 64, 8)
    page.storeBytes(of: 7, toByteOffset: 77, as: UInt8.self)
    page.storeBytes(of: 0x0001_0400, toByteOffset: 80, as: UInt32.self)
    page.storeBytes(of: 1_000_000, toByteOffset: 88, as: UInt32.self)
    page.storeBytes(of: UInt32(namespaces.count), toByteOffset: 516, as: UInt32.self)
    page.storeBytes(of: 0xc, toByteOffset: 520, as: UInt16.self)
    page.storeBytes(of: 1, toByteOffset: 525, as: UInt8.self)
    page.storeBytes(of: 7, toByteOffset: 528, as: UInt16.self)
  }

  func identifyNamespace(_ page: UnsafeMutableRawPointer) {
    page.storeBytes(of: claimedBlocks ?? UInt64(disk.count >> blockShift), as: UInt64.self)
    page.storeBytes(of: 1, toByteOffset: 26, as: UInt8.self)
    page.storeBytes(of: deallocation, toByteOffset: 33, as: UInt8.self)
    let format = UInt32(claimedBlockShift ?? blockShift) << 16 | metadataSize
    page.storeBytes(of: format, toByteOffset: 132, as: UInt32.self)
    page.storeBytes(of: 0xab, toByteOffset: 120, as: UInt8.self)
  }

  private func put(_ text: String, _ place: UnsafeMutableRawPointer, _ length: Int) {
    memset(place, 0x20, length)
    for (index, byte) in text.utf8.enumerated() { place.storeBytes(of: byte, toByteOffset: index, as: UInt8.self) }
  }

  func execute(_ entry: SubmissionEntry, on queue: UInt16) {
    log.append(entry)
    if swallow > 0 {
      swallow -= 1
      return
    }
    let status = statuses.isEmpty ? perform(entry) : statuses.removeFirst()
    complete(entry.commandID, on: queue, status: status)
    if repeatsCompletions { complete(entry.commandID, on: queue, status: status) }
  }

  /// - Returns: the status field.
  private func perform(_ entry: SubmissionEntry) -> UInt16 {
    let first = Int(UInt64(entry.dword11) << 32 | UInt64(entry.dword10)) << blockShift
    let length = (Int(entry.dword12 & 0xffff) + 1) << blockShift
    switch entry.opcode {
    case 0x00: return 0
    case 0x01, 0x02:
      guard first + length <= disk.count else { return 0x4080 }
      return transfer(entry, first, length) ? 0 : 0x4004
    case 0x08:
      guard first + length <= disk.count else { return 0x4080 }
      disk.replaceSubrange(first..<first + length, with: repeatElement(0, count: length))
      return 0
    case 0x09:
      guard let range = at(entry.prp1, 16) else { return 0x4004 }
      let blocks = Int(range.load(fromByteOffset: 4, as: UInt32.self))
      let begin = Int(range.load(fromByteOffset: 8, as: UInt64.self)) << blockShift
      guard begin + blocks << blockShift <= disk.count else { return 0x4080 }
      disk.replaceSubrange(begin..<begin + blocks << blockShift, with: repeatElement(0, count: blocks << blockShift))
      return 0
    default: return 0x4001
    }
  }

  /// Follows the PRPs page by page, as the controller must.
  private func transfer(_ entry: SubmissionEntry, _ first: Int, _ length: Int) -> Bool {
    var done = 0
    var list: UInt64 = entry.prp2
    while done < length {
      let left = length - done
      let address: UInt64
      if done == 0 {
        address = entry.prp1
      } else if done == 4096 - Int(entry.prp1 & 4095), left <= 4096 {
        address = entry.prp2
      } else {
        guard let place = at(list, 8) else { return false }
        address = place.load(as: UInt64.self)
        list += 8
      }
      let count = min(left, 4096 - Int(address & 4095))
      guard let memory = at(address, count) else { return false }
      disk.withUnsafeMutableBytes { disk in
        let place = disk.baseAddress! + first + done
        _ = entry.opcode == 0x01 ? memcpy(place, memory, count) : memcpy(memory, place, count)
      }
      done += count
    }
    return true
  }
}
