import CBulkhead
import Glibc
import Platform
import Protocol
import TAPProxy

/// What the fuzz knows of a TAP: what it has for the driver, what it took and refused, and whether it was ever given memory
/// outside the arena.
final class FuzzSink {
  let arena: GuardedMemory
  /// A real TAP's file, or -1.
  let file: Int32
  var generator: SeededGenerator
  /// Frames that are there to be received.
  var pending = 0
  private(set) var received: UInt64 = 0
  private(set) var sent: UInt64 = 0
  private(set) var refused: UInt64 = 0
  private(set) var invalid: UInt64 = 0
  private(set) var accesses: UInt64 = 0
  /// Memory outside the arena, or a list that no chain has.
  private(set) var escapes: UInt64 = 0
  private var checksum: UInt8 = 0

  init(arena: GuardedMemory, file: Int32, seed: UInt64) {
    self.arena = arena
    self.file = file
    generator = SeededGenerator(seed: seed)
  }

  /// - Returns: all bytes; -1 if any of them is outside.
  private func check(_ parts: UnsafePointer<bh_part>, _ count: Int) -> Int {
    accesses += 1
    guard (1...NetworkClass.maximumChain).contains(count) else {
      escapes += 1
      return -1
    }
    var total = 0
    for index in 0..<count {
      guard let base = parts[index].base, arena.holds(base, Int(parts[index].length)) else {
        escapes += 1
        return -1
      }
      total += Int(parts[index].length)
    }
    return total
  }

  func receive(_ parts: UnsafePointer<bh_part>, _ count: Int) -> Int {
    let room = check(parts, count)
    guard room >= 0 else { return -Int(EFAULT) }
    if file >= 0 {
      let got = Int(bh_tap_receive(file, parts, count))
      if got >= 0 { received += 1 }
      return got
    }
    // As readv(2): without room a frame stays where it is.
    guard room > 0 else { return 0 }
    guard pending > 0 else { return generator.below(16) == 0 ? -Int(EIO) : -Int(EAGAIN) }
    pending -= 1
    received += 1
    let frame = min(room, generator.below(8) == 0 ? generator.below(70_000) : 12 + generator.below(1600))
    // What the kernel would write: here the first and the last byte of each part.
    var left = frame
    for index in 0..<count where left > 0 && parts[index].length > 0 {
      let length = min(left, Int(parts[index].length))
      parts[index].base.storeBytes(of: UInt8(truncatingIfNeeded: left), as: UInt8.self)
      parts[index].base.storeBytes(of: 0x5A, toByteOffset: length - 1, as: UInt8.self)
      left -= length
    }
    return frame
  }

  func send(_ parts: UnsafePointer<bh_part>, _ count: Int) -> Int {
    let length = check(parts, count)
    guard length >= 0 else { return note(-Int(EFAULT)) }
    if file >= 0 { return note(Int(bh_tap_send(file, parts, count))) }
    for index in 0..<count where parts[index].length > 0 {
      checksum &+= parts[index].base.load(as: UInt8.self)
      checksum &+= parts[index].base.load(fromByteOffset: Int(parts[index].length) - 1, as: UInt8.self)
    }
    switch generator.below(24) {
    case 0: return note(-Int(EINVAL))
    case 1: return -Int(EAGAIN)
    case 2: return note(-Int(EIO))
    case 3: return note(-Int(ENOMEM))
    default: return note(length)
    }
  }

  private func note(_ result: Int) -> Int {
    if result >= 0 { sent += 1 } else if result != -Int(EAGAIN) { refused += 1 }
    if result == -Int(EINVAL) { invalid += 1 }
    return result
  }
}

/// The worker's port to a ``FuzzSink``.
struct FuzzPort: FramePort {
  unowned(unsafe) let sink: FuzzSink

  func receive(_ parts: UnsafePointer<bh_part>, count: Int) -> Int { sink.receive(parts, count) }
  func send(_ parts: UnsafePointer<bh_part>, count: Int) -> Int { sink.send(parts, count) }
}
