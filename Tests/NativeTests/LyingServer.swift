import CBulkhead
import Foundation
import Glibc
import NBDClient
import Platform

/// An NBD server with a disk in memory and a volatile cache in front of it, that tells one lie.
final class LyingServer: Sendable {
  enum Lie: String, CaseIterable, Sendable {
    case none
    /// A write is acknowledged and forgotten.
    case droppedWrite
    /// Half of a write is forgotten.
    case tornWrite
    /// Half of a sector is forgotten.
    case tornSector
    /// A write is carried out long after its acknowledgement, over newer ones.
    case lateWrite
    /// A write goes to the next sector.
    case misplacedWrite
    /// Write-zeroes does nothing.
    case noZeroes
    /// A read answers with what was there some writes ago.
    case staleRead
    /// A read has a wrong bit.
    case wrongBit
    /// Power fails, which the next flush confesses. Right for a disk that may lose power.
    case powerLoss
    /// Power fails without a word.
    case powerLossKeptSecret
    /// Power fails, and flushes were not carried out.
    case powerLossNoFlush
    /// Power fails, and force unit access was ignored.
    case powerLossNoFUA
    /// Power fails in the middle of a write of a page.
    case powerLossTorn
    /// A request is never answered.
    case silence
    /// A write is answered with an error, although half of it was carried out.
    case error
  }

  static let size = 2 << 20
  let path: String
  let lie: Lie
  private let listener: Int32

  /// Serves one client after the other from a thread of its own.
  init(_ lie: Lie) throws {
    path = NSTemporaryDirectory() + "lying-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
    self.lie = lie
    listener = try UnixSocket.listen(at: path).release()
    let (listener, lie) = (listener, lie)
    Thread.detachNewThread {
      var disk = LyingDisk(lie)
      while true {
        let client = accept(listener, nil, nil)
        guard client >= 0 else { break }
        disk.serve(client)
        close(client)
      }
      close(listener)
    }
  }

  deinit {
    unlink(path)
    // The thread closes it: the number must not be another server's while the thread still waits on it.
    shutdown(listener, Int32(SHUT_RDWR))
  }
}

/// The server's state and its half of the protocol.
private struct LyingDisk {
  private typealias Lie = LyingServer.Lie

  private let lie: LyingServer.Lie
  private var disk = [UInt8](repeating: 0, count: LyingServer.size)
  /// What a power loss leaves.
  private var durable = [UInt8](repeating: 0, count: LyingServer.size)
  /// For stale reads.
  private var past = [UInt8](repeating: 0, count: LyingServer.size)
  private var late: (due: Int, offset: Int, bytes: [UInt8])?
  private var requests = 0
  private var hasLostPower = false
  private var file: Int32 = -1

  init(_ lie: LyingServer.Lie) { self.lie = lie }

  /// After the first writes, every so often.
  private var isTime: Bool { requests > 200 && requests % 37 == 0 }

  mutating func serve(_ client: Int32) {
    file = client
    guard negotiate() else { return }
    while let header = take(28) {
      requests += 1
      let flags = Self.number(header, 4, 2)
      let command = Self.number(header, 6, 2)
      let offset = Int(Self.number(header, 16, 8))
      let length = Int(Self.number(header, 24, 4))
      var payload: [UInt8] = []
      if command == 1 {
        guard let bytes = take(length) else { return }
        payload = bytes
      }
      if lie == .silence, requests == 500 { continue }
      var reply: [UInt8] = [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0] + header[8..<16]
      switch command {
      case 0: reply += read(offset, length)
      case 1: if !write(offset, payload, isForced: flags & 1 == 1) { reply[7] = 5 }
      case 3:
        if hasLostPower { reply[7] = 5 } else if lie != .powerLossNoFlush { durable = disk }
        hasLostPower = false
      case 6: if lie != .noZeroes { store(offset, [UInt8](repeating: 0, count: length), isForced: flags & 1 == 1) }
      default: break
      }
      if let waiting = late, requests >= waiting.due {
        late = nil
        store(waiting.offset, waiting.bytes)
      }
      if requests % 61 == 0 { losePower() }
      guard put(reply) else { return }
    }
  }

  private mutating func losePower() {
    switch lie {
    case .powerLoss, .powerLossKeptSecret, .powerLossNoFlush, .powerLossNoFUA: disk = durable
    case .powerLossTorn:
      // Every other sector is lost.
      for sector in stride(from: 0, to: LyingServer.size, by: 1024) {
        disk.replaceSubrange(sector..<sector + 512, with: durable[sector..<sector + 512])
      }
    default: return
    }
    durable = disk
    hasLostPower = lie != .powerLossKeptSecret
  }

  private mutating func store(_ offset: Int, _ bytes: [UInt8], isForced: Bool = false) {
    disk.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    if isForced, lie != .powerLossNoFUA { durable.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
  }

  /// - Returns: whether it is to be called done.
  private mutating func write(_ offset: Int, _ bytes: [UInt8], isForced: Bool) -> Bool {
    if requests % 100 == 0 { past = disk }
    switch lie {
    case .droppedWrite where isTime: return true
    case .tornWrite where isTime: store(offset, Array(bytes.prefix(bytes.count / 2)))
    case .tornSector where isTime: store(offset, Array(bytes.dropLast(256)))
    case .lateWrite where isTime && late == nil: late = (requests + 150, offset, bytes)
    case .misplacedWrite where isTime && offset + bytes.count + 512 <= LyingServer.size: store(offset + 512, bytes)
    case .error where isTime:
      store(offset, Array(bytes.prefix(bytes.count / 1024 * 512)))
      return false
    default: store(offset, bytes, isForced: isForced)
    }
    return true
  }

  private func read(_ offset: Int, _ length: Int) -> [UInt8] {
    var bytes = Array((lie == .staleRead && isTime ? past : disk)[offset..<offset + length])
    if lie == .wrongBit, isTime { bytes[length / 2] ^= 16 }
    return bytes
  }

  // MARK: The protocol

  /// The newstyle negotiation with a client that knows what it wants.
  private func negotiate() -> Bool {
    guard put(Array("NBDMAGICIHAVEOPT".utf8) + [0, 3]), take(4) != nil, let option = take(16),
      take(Int(Self.number(option, 12, 4))) != nil
    else { return false }
    // Size and flags: flush, FUA, trim, write-zeroes, several connections.
    let export: [UInt8] = [0, 0] + Self.bytes(UInt64(LyingServer.size)) + Self.bytes(UInt16(0b1_0110_1101))
    return put(reply(3, export) + reply(1, []))
  }

  private func reply(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
    Self.bytes(UInt64(0x0003_e889_0455_65a9)) + Self.bytes(UInt32(7)) + Self.bytes(type)
      + Self.bytes(UInt32(body.count)) + body
  }

  private func take(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var have = 0
    while have < count {
      let got = bytes.withUnsafeMutableBytes { recv(file, $0.baseAddress! + have, count - have, 0) }
      guard got > 0 else { return nil }
      have += got
    }
    return bytes
  }

  private func put(_ bytes: [UInt8]) -> Bool {
    var done = 0
    while done < bytes.count {
      let sent = bytes.withUnsafeBytes {
        send(file, $0.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { return false }
      done += sent
    }
    return true
  }

  private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
    bytes[offset..<offset + count].reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }
}
