import Platform

/// The size of every control message, in bytes. One size leaves nothing to negotiate and nothing to overrun.
public let controlMessageSize = 512

/// The first four bytes of every control message: `BHDC`, little endian.
public let controlMagic: UInt32 = 0x4344_4842

/// The version that both ends must speak exactly; there is no negotiation between parts of one package.
public let controlVersion: UInt16 = 1

/// Bytes of a message before its payload: magic, version, kind, generation, reserved.
public let controlHeaderSize = 16

/// Why bytes are not a message.
public enum WireError: Error, Equatable, Sendable {
  case wrongSize(Int)
  case wrongMagic(UInt32)
  case wrongVersion(UInt16)
  case unknownKind(UInt16)
  /// The payload ended early, or a value is outside its range.
  case invalidValue(StaticString)

  public static func == (left: WireError, right: WireError) -> Bool { "\(left)" == "\(right)" }
}

/// Writes one control message, little endian, without padding.
public struct WireWriter {
  private(set) var bytes: [UInt8]
  private var offset = controlHeaderSize

  init(kind: UInt16, generation: UInt32) {
    bytes = [UInt8](repeating: 0, count: controlMessageSize)
    offset = 0
    put(controlMagic)
    put(controlVersion)
    put(kind)
    put(generation)
    put(UInt32(0))
  }

  /// A message has room for every payload that is declared here; running out is a programmer's error.
  public mutating func put<Value: FixedWidthInteger>(_ value: Value) {
    let size = MemoryLayout<Value>.size
    precondition(offset + size <= bytes.count, "payload exceeds the message")
    withUnsafeBytes(of: value.littleEndian) { source in
      for index in 0..<size { bytes[offset + index] = source[index] }
    }
    offset += size
  }

  public mutating func put(_ value: Bool) { put(UInt8(value ? 1 : 0)) }

  /// Writes at most `limit` bytes of UTF-8, preceded by their number; a longer text is cut.
  public mutating func put(_ text: String, limit: Int) {
    let bytes = text.utf8.prefix(limit)
    put(UInt16(bytes.count))
    for byte in bytes { put(byte) }
  }
}

/// Reads one control message. Every value is checked; nothing is trusted.
public struct WireReader {
  private let bytes: UnsafeRawBufferPointer
  private var offset = controlHeaderSize

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  public mutating func get<Value: FixedWidthInteger>(
    _ type: Value.Type, _ name: StaticString
  ) throws(WireError) -> Value {
    let size = MemoryLayout<Value>.size
    guard offset + size <= bytes.count else { throw .invalidValue(name) }
    defer { offset += size }
    return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self))
  }

  public mutating func get(_ type: Bool.Type, _ name: StaticString) throws(WireError) -> Bool {
    let value = try get(UInt8.self, name)
    guard value <= 1 else { throw .invalidValue(name) }
    return value == 1
  }

  public mutating func get<Value: FixedWidthInteger>(_ name: StaticString) throws(WireError) -> Value {
    try get(Value.self, name)
  }

  public mutating func get(_ name: StaticString) throws(WireError) -> Bool { try get(Bool.self, name) }

  /// Reads a text of at most `limit` bytes. Anything but printable ASCII becomes `?`: the text may come from a hostile
  /// driver and ends in logs and on terminals.
  public mutating func text(limit: Int, _ name: StaticString) throws(WireError) -> String {
    let count = Int(try get(UInt16.self, name))
    guard count <= limit, offset + count <= bytes.count else { throw .invalidValue(name) }
    defer { offset += count }
    let clean = bytes[offset..<offset + count].map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
    return String(decoding: clean, as: UTF8.self)
  }
}

/// A part of a message's payload.
public protocol WireCodable: Equatable, Sendable {
  func encode(into writer: inout WireWriter)
  init(from reader: inout WireReader) throws(WireError)
}

/// A closed set of messages in one direction of one conversation.
public protocol ControlMessage: Equatable, Sendable {
  /// What the message is, without its payload.
  associatedtype Kind: RawRepresentable<UInt16> & CaseIterable & Hashable & Sendable
  var kind: Kind { get }
  func encodePayload(into writer: inout WireWriter)
  static func decode(_ kind: Kind, from reader: inout WireReader) throws(WireError) -> Self
}

/// A message together with the driver generation it belongs to.
public struct Envelope<Message: ControlMessage>: Equatable, Sendable {
  /// Counts the drivers that one broker has had, from 1; 0 where no driver is meant.
  public var generation: UInt32
  public var message: Message

  public init(generation: UInt32, _ message: Message) {
    self.generation = generation
    self.message = message
  }

  /// The message as ``controlMessageSize`` bytes.
  public func encoded() -> [UInt8] {
    var writer = WireWriter(kind: message.kind.rawValue, generation: generation)
    message.encodePayload(into: &writer)
    return writer.bytes
  }

  /// - Throws: ``WireError`` naming the first thing that is wrong.
  public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
    guard bytes.count == controlMessageSize else { throw .wrongSize(bytes.count) }
    let magic = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
    guard magic == controlMagic else { throw .wrongMagic(magic) }
    let version = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    guard version == controlVersion else { throw .wrongVersion(version) }
    let rawKind = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
    guard let kind = Message.Kind(rawValue: rawKind) else { throw .unknownKind(rawKind) }
    generation = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    var reader = WireReader(bytes)
    message = try Message.decode(kind, from: &reader)
  }
}
