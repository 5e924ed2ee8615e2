/// Collects bytes in network order. For the negotiation only.
struct NBDWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put<Value: FixedWidthInteger>(_ value: Value) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }
  mutating func put(_ other: NBDWriter) { bytes.append(contentsOf: other.bytes) }
  mutating func putZeroes(_ count: Int) { bytes.append(contentsOf: repeatElement(0, count: count)) }
  /// Drops bytes that were sent.
  mutating func removeFirst(_ count: Int) { bytes.removeFirst(count) }
}

/// Reads bytes in network order. The caller has checked that they are there.
struct NBDReader {
  private let bytes: [UInt8]
  private var offset = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Bytes that were not read yet.
  var left: Int { bytes.count - offset }

  mutating func get<Value: FixedWidthInteger & UnsignedInteger>(_ type: Value.Type) -> Value {
    var value: Value = 0
    for _ in 0..<MemoryLayout<Value>.size {
      value = value << 8 | Value(bytes[offset])
      offset += 1
    }
    return value
  }

  /// A text with its length in front of it, or nil: it is longer than a text may be, or than what is there.
  mutating func string() -> String? {
    guard left >= 4 else { return nil }
    let length = Int(get(UInt32.self))
    return length <= min(left, NBD.maximumString) ? text(length) : nil
  }

  mutating func text(_ count: Int) -> String {
    defer { offset += count }
    return String(decoding: bytes[offset..<offset + count], as: UTF8.self)
  }
}
