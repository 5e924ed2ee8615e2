import Platform
import Protocol
import Testing

@testable import NBDProxy

@Suite struct NegotiationTests {
  static let exports: [Export] = {
    var second = Rig.unit(blocks: 16, blockSize: 4096, features: [.readOnly])
    second.index = 1
    second.identifier = 7
    return [Rig.unit(), second].map { Export($0, readOnly: false, maximumPayload: 1 << 20) }
  }()

  static let flags: [UInt8] = [0, 0, 0, 3]

  static func option(_ option: UInt32, _ data: [UInt8] = []) -> [UInt8] {
    var writer = NBDWriter()
    writer.put(NBD.optionMagic)
    writer.put(option)
    writer.put(UInt32(data.count))
    return writer.bytes + data
  }

  static func infoData(_ name: String, _ requests: [UInt16]) -> [UInt8] {
    var writer = NBDWriter()
    writer.put(UInt32(name.utf8.count))
    writer.put(name)
    writer.put(UInt16(requests.count))
    for request in requests { writer.put(request) }
    return writer.bytes
  }

  struct OptionReply: Equatable {
    var option: UInt32
    var type: UInt32
    var data: [UInt8]

    /// An error's text.
    var text: String { String(decoding: data, as: UTF8.self) }
  }

  /// Talks to a negotiation in pieces of `size` bytes; returns what came back behind the greeting, and the outcome.
  static func talk(_ bytes: [UInt8], pieces size: Int = .max) -> ([UInt8], Negotiation.Outcome, left: Int) {
    let negotiation = Negotiation(exports: exports)
    var rest = bytes[...]
    var outcome = Negotiation.Outcome.proceed
    while !rest.isEmpty, outcome == .proceed {
      let piece = Array(rest.prefix(min(size, negotiation.room)))
      rest = rest.dropFirst(piece.count)
      outcome = piece.withUnsafeBytes { negotiation.take($0) }
    }
    return (Array(negotiation.output.bytes.dropFirst(18)), outcome, rest.count)
  }

  static func replies(_ bytes: [UInt8]) throws -> [OptionReply] {
    var reader = NBDReader(bytes)
    var replies: [OptionReply] = []
    while reader.left > 0 {
      #expect(reader.get(UInt64.self) == NBD.optionReplyMagic)
      let option = reader.get(UInt32.self)
      let type = reader.get(UInt32.self)
      let length = Int(reader.get(UInt32.self))
      replies.append(OptionReply(option: option, type: type, data: (0..<length).map { _ in reader.get(UInt8.self) }))
    }
    return replies
  }

  @Test func greeting() {
    let negotiation = Negotiation(exports: Self.exports)
    #expect(negotiation.output.bytes == Array("NBDMAGICIHAVEOPT".utf8) + [0, 3])
  }

  @Test func listNamesEveryExport() throws {
    let (bytes, outcome, _) = Self.talk(Self.flags + Self.option(NBD.Option.list))
    let replies = try Self.replies(bytes)
    #expect(outcome == .proceed)
    #expect(replies.map(\.type) == [NBD.OptionReply.server, NBD.OptionReply.server, NBD.OptionReply.ack])
    #expect(replies[0].data == [0, 0, 0, 3] + Array("ns1Memory 0001".utf8))
    #expect(replies[1].data.starts(with: [0, 0, 0, 3] + Array("ns7".utf8)))
  }

  @Test(arguments: ["", "ns1", "0"]) func goServesTheFirstUnit(name: String) throws {
    let (bytes, outcome, left) = Self.talk(
      Self.flags + Self.option(NBD.Option.go, Self.infoData(name, [3, 1, 2, 99, 3])) + [1, 2, 3])
    let replies = try Self.replies(bytes)
    #expect(outcome == .serve(unit: 0, []))
    #expect(left == 3, "bytes of the next phase are not taken")
    #expect(replies.last == OptionReply(option: 7, type: NBD.OptionReply.ack, data: []))
    let information = Dictionary(grouping: replies.dropLast()) { $0.data[1] }
    #expect(Set(information.keys) == [0, 1, 2, 3])
    #expect(information.values.allSatisfy { $0.count == 1 })
    // Size 4 MiB, then the transmission flags.
    #expect(information[0]?[0].data == [0, 0, 0, 0, 0, 0, 0, 64, 0, 0] + [0x05, 0x6D])
    #expect(information[1]?[0].data == [0, 1] + Array("ns1".utf8))
    #expect(information[3]?[0].data == [0, 3, 0, 0, 2, 0, 0, 0, 16, 0, 0, 16, 0, 0])
  }

  @Test func infoStaysInNegotiation() throws {
    let (bytes, outcome, _) = Self.talk(
      Self.flags + Self.option(NBD.Option.info, Self.infoData("ns7", [3])) + Self.option(NBD.Option.abort))
    let replies = try Self.replies(bytes)
    #expect(outcome == .hangUp)
    #expect(replies.map(\.type) == [3, 3, NBD.OptionReply.ack, NBD.OptionReply.ack])
    // Read-only: no trim, no write zeroes.
    #expect(replies[0].data.suffix(2) == [0x05, 0x0F])
  }

  @Test func exportNameHasNoReplyHeader() {
    let withZeroes = Self.talk([0, 0, 0, 1] + Self.option(NBD.Option.exportName, Array("ns7".utf8)))
    #expect(withZeroes.1 == .serve(unit: 1, []))
    #expect(withZeroes.0.count == 134)
    let without = Self.talk(Self.flags + Self.option(NBD.Option.exportName, Array("ns7".utf8)))
    #expect(without.0 == [0, 0, 0, 0, 0, 1, 0, 0, 0x05, 0x0F])
    #expect(Self.talk(Self.flags + Self.option(NBD.Option.exportName, Array("none".utf8))).1 == .hangUp)
  }

  @Test(arguments: [
    (option(NBD.Option.list, [0]), NBD.OptionReply.invalid),
    (option(NBD.Option.structuredReply, [0]), NBD.OptionReply.invalid),
    // PEEK_EXPORT, STARTTLS, EXTENDED_HEADERS.
    (option(4), NBD.OptionReply.unsupported),
    (option(NBD.Option.startTLS), NBD.OptionReply.unsupported),
    (option(NBD.Option.startTLS, [1]), NBD.OptionReply.invalid),
    (option(NBD.Option.extendedHeaders), NBD.OptionReply.unsupported),
    (option(0), NBD.OptionReply.unsupported),
    (option(0xFFFF_FFFF, [1, 2, 3]), NBD.OptionReply.unsupported),
    (option(NBD.Option.go, infoData("other", [])), NBD.OptionReply.unknownExport),
    (option(NBD.Option.go, [0, 0, 0, 1]), NBD.OptionReply.invalid),
    (option(NBD.Option.info, [0, 0, 0, 9, 65, 0, 0]), NBD.OptionReply.invalid),
    (option(NBD.Option.info, [0, 0, 0, 0, 0, 2, 0, 1]), NBD.OptionReply.invalid),
    (option(NBD.Option.list, [UInt8](repeating: 0, count: 20000)), NBD.OptionReply.tooBig),
  ])
  func refusalsLeaveTheClientInStep(bytes: [UInt8], reply: UInt32) throws {
    let (output, outcome, _) = Self.talk(Self.flags + bytes + Self.option(NBD.Option.abort))
    #expect(outcome == .hangUp)
    #expect(try Self.replies(output).map(\.type) == [reply, NBD.OptionReply.ack])
  }

  @Test(arguments: [
    [0, 0, 0, 4], [0x80, 0, 0, 3], flags + [UInt8](repeating: 0, count: 16),
    flags + option(NBD.Option.exportName, [UInt8](repeating: 65, count: 9000)),
  ])
  func hangsUp(bytes: [UInt8]) {
    #expect(Self.talk(bytes).1 == .hangUp)
  }

  @Test(arguments: 1...20) func piecesDoNotMatter(size: Int) {
    let conversation =
      Self.flags + Self.option(NBD.Option.list) + Self.option(99, [UInt8](repeating: 1, count: 9000))
      + Self.option(NBD.Option.go, Self.infoData("ns7", [3]))
    let whole = Self.talk(conversation)
    let inPieces = Self.talk(conversation, pieces: size)
    #expect(whole.0 == inPieces.0)
    #expect(whole.1 == .serve(unit: 1, []))
    #expect(inPieces.1 == .serve(unit: 1, []))
  }

  @Test func endlessHagglingEnds() {
    let bytes = Self.flags + Array(repeatElement(Self.option(NBD.Option.list), count: 300).joined())
    #expect(Self.talk(bytes).1 == .hangUp)
  }

  @Test func noiseIsSurvived() {
    var random = SeededGenerator(seed: 1)
    for _ in 0..<2000 {
      var bytes = Self.flags
      for _ in 0..<3 {
        let data = (0..<Int.random(in: 0...24, using: &random)).map { _ in UInt8.random(in: 0...3, using: &random) }
        bytes += Self.option(UInt32.random(in: 0...12, using: &random), data)
      }
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
      _ = Self.talk(bytes, pieces: Int.random(in: 1...40, using: &random))
    }
  }
}
