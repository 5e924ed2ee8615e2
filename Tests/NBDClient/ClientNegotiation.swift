import CBulkhead
import Glibc
import Platform

/// The client's side of the fixed newstyle negotiation, over a socket, waiting.
struct ClientNegotiation {
  let file: Int32
  /// Monotonic nanoseconds.
  let deadline: Nanoseconds

  private static let optionMagic: UInt64 = 0x4948_4156_454f_5054
  private static let go: UInt32 = 7

  /// - Throws: ``Failure`` `nbd-negotiation`.
  mutating func go(_ name: String) throws(Failure) -> NBDExport {
    let greeting = try take(18)
    guard Self.number(greeting, 0, 8) == 0x4e42_444d_4147_4943, Self.number(greeting, 8, 8) == Self.optionMagic,
      Self.number(greeting, 16, 2) & 1 == 1
    else { throw Failure("nbd-negotiation", "read the server's greeting") }
    var bytes = Self.bytes(UInt32(3)) + Self.bytes(Self.optionMagic) + Self.bytes(Self.go)
    let text = Array(name.utf8)
    // One information is asked for: the block sizes.
    let data = Self.bytes(UInt32(text.count)) + text + Self.bytes(UInt16(1)) + Self.bytes(UInt16(3))
    bytes += Self.bytes(UInt32(data.count)) + data
    try put(bytes)
    var export: NBDExport?
    var sizes: (Int, Int)?
    while true {
      let head = try take(20)
      let type = UInt32(Self.number(head, 12, 4))
      let length = Int(Self.number(head, 16, 4))
      guard Self.number(head, 0, 8) == 0x0003_e889_0455_65a9, length <= 65536 else {
        throw Failure("nbd-negotiation", "read an answer to GO")
      }
      let body = try take(length)
      switch type {
      case 1:
        guard var export else { throw Failure("nbd-negotiation", "learn the size of export `\(name)`") }
        if let sizes { (export.minimumBlock, export.maximumPayload) = sizes }
        return export
      case 3 where length >= 12 && Self.number(body, 0, 2) == 0:
        export = NBDExport(size: Self.number(body, 2, 8), flags: UInt16(Self.number(body, 10, 2)))
      case 3 where length >= 14 && Self.number(body, 0, 2) == 3:
        sizes = (Int(Self.number(body, 2, 4)), Int(Self.number(body, 10, 4)))
      case 3: break
      default: throw Failure("nbd-negotiation", "GO to `\(name)`: the server answers 0x\(String(type, radix: 16))")
      }
    }
  }

  private func take(_ count: Int) throws(Failure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var have = 0
    while have < count {
      let got = bytes.withUnsafeMutableBytes { bh_receive_bytes(file, $0.baseAddress! + have, count - have) }
      if got > 0 {
        have += got
      } else if got == -Int(EAGAIN) || got == -Int(EINTR) {
        guard wait(for: POLLIN, on: file, until: deadline) else {
          throw Failure("nbd-negotiation", "wait for the server", errno: ETIMEDOUT)
        }
      } else {
        throw Failure("nbd-negotiation", "read from the server", errno: got == 0 ? ECONNRESET : Int32(-got))
      }
    }
    return bytes
  }

  private func put(_ bytes: [UInt8]) throws(Failure) {
    // Far less than a socket holds.
    let sent = bytes.withUnsafeBytes {
      bh_send_parts(file, [bh_part(base: UnsafeMutableRawPointer(mutating: $0.baseAddress), length: $0.count)], 1)
    }
    guard sent == bytes.count else {
      throw Failure("nbd-negotiation", "write to the server", errno: sent < 0 ? Int32(-sent) : EAGAIN)
    }
  }

  private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
    bytes[offset..<offset + count].reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }
}
