import CBulkhead
import Glibc
import Platform

/// Sees how often each vector of the device interrupts, from `/proc/interrupts`, the only place where the kernel counts
/// interrupts that go to an eventfd. The file is opened before the broker is confined.
final class InterruptWatch: InterruptCounts {
  /// The most bytes that are read at once, and in all: about 300 bytes a line with 20 processors.
  private static let chunk = 16384
  private static let limit = 4 << 20

  private let file: Int32
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)
  private var parser: InterruptParser

  /// Nil where the file cannot be opened; interrupts are not watched then.
  init?(path: String = "/proc/interrupts", address: String, vectors: Int) {
    file = bh_open_readonly(path)
    parser = InterruptParser(address: address, vectors: vectors)
    guard file >= 0 else { return nil }
  }

  deinit {
    buffer.deallocate()
    if file >= 0 { Descriptor.close(file) }
  }

  /// The file's number, for the list of permitted system calls.
  var number: Int32 { file }

  /// Reads the counts. The result has one entry for each vector and is valid until the next call.
  func read() -> [UInt64] {
    parser.begin()
    var offset = 0
    while offset < Self.limit {
      let got = bh_read_at(file, buffer.baseAddress, buffer.count, Int64(offset))
      guard got > 0 else { break }
      parser.take(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
      offset += got
    }
    return parser.counts
  }
}

/// Reads lines like ` 31:  12  7  IR-PCI-MSIX-0000:01:00.0  0-edge  vfio-msix[0](0000:01:00.0)` piece by piece: the
/// numbers behind the colon add up, the last word names the vector.
struct InterruptParser {
  /// `](0000:01:00.0)`: what a line of this device ends in, behind the vector's number.
  private let ending: [UInt8]
  private(set) var counts: [UInt64]
  private var line: [UInt8] = []
  /// A longer line is not ours to understand: 512 processors make about 6 KiB.
  private static let longestLine = 65536

  init(address: String, vectors: Int) {
    ending = Array("](\(address))".utf8)
    counts = [UInt64](repeating: 0, count: vectors)
    line.reserveCapacity(1024)
  }

  mutating func begin() {
    line.removeAll(keepingCapacity: true)
    for index in counts.indices { counts[index] = 0 }
  }

  mutating func take(_ bytes: UnsafeRawBufferPointer) {
    for byte in bytes {
      if byte == UInt8(ascii: "\n") {
        endLine()
        line.removeAll(keepingCapacity: true)
      } else if line.count < Self.longestLine {
        line.append(byte)
      }
    }
  }

  private mutating func endLine() {
    guard line.count > ending.count, line.suffix(ending.count).elementsEqual(ending) else { return }
    guard let vector = vector(endingAt: line.count - ending.count), vector < counts.count else { return }
    guard var index = line.firstIndex(of: UInt8(ascii: ":")) else { return }
    index += 1
    var sum: UInt64 = 0
    while index < line.count {
      while index < line.count, line[index] == UInt8(ascii: " ") { index += 1 }
      let start = index
      var value: UInt64 = 0
      while index < line.count, let digit = Self.digit(line[index]) {
        value = value &* 10 &+ digit
        index += 1
      }
      // The first word that is no number ends the counts.
      guard index > start, index == line.count || line[index] == UInt8(ascii: " ") else { break }
      sum &+= value
    }
    counts[vector] &+= sum
  }

  /// The number in `vfio-msix[12` that ends at `end`.
  private func vector(endingAt end: Int) -> Int? {
    var value = 0
    var scale = 1
    var index = end - 1
    while index >= 0, let digit = Self.digit(line[index]), scale <= 1_000_000 {
      value += Int(digit) * scale
      scale *= 10
      index -= 1
    }
    guard scale > 1, index >= 0, line[index] == UInt8(ascii: "[") else { return nil }
    return value
  }

  private static func digit(_ byte: UInt8) -> UInt64? {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) ? UInt64(byte) - 48 : nil
  }
}

/// Tells a storm from work.
struct StormDetector {
  /// Interrupts a second for one vector; 0: never.
  let limit: UInt32
  private var last: [UInt64]
  private var lastTime: Nanoseconds?
  private(set) var total: UInt64 = 0

  init(limit: UInt32, vectors: Int) {
    self.limit = limit
    last = [UInt64](repeating: 0, count: vectors)
  }

  /// Begins anew with another driver: the kernel's counters do.
  mutating func restart() {
    lastTime = nil
    for index in last.indices { last[index] = 0 }
  }

  /// Takes the counts of now. Returns the vectors whose rate since the last call is above the limit.
  mutating func storms(_ counts: [UInt64], now: Nanoseconds) -> [Int] {
    defer { lastTime = now }
    var storms: [Int] = []
    let elapsed = lastTime.map { Double(max(1, now - $0)) / 1e9 }
    for vector in last.indices {
      // A rewired vector counts from 0 again.
      let delta = counts[vector] >= last[vector] ? counts[vector] - last[vector] : counts[vector]
      last[vector] = counts[vector]
      total &+= delta
      if let elapsed, limit > 0, Double(delta) / elapsed > Double(limit) { storms.append(vector) }
    }
    return storms
  }
}
