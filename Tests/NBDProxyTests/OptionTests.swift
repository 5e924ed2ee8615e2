import Testing

@testable import NBDProxy

/// The options beyond the baseline, in bytes of the protocol's document.
@Suite struct OptionTests {
  private typealias Basis = NegotiationTests

  private static func metaData(_ name: String, _ queries: [String]) -> [UInt8] {
    var writer = NBDWriter()
    writer.put(UInt32(name.utf8.count))
    writer.put(name)
    writer.put(UInt32(queries.count))
    for query in queries {
      writer.put(UInt32(query.utf8.count))
      writer.put(query)
    }
    return writer.bytes
  }

  private static let structured = Basis.option(NBD.Option.structuredReply)
  private static let go = Basis.option(NBD.Option.go, Basis.infoData("", []))
  private static let abort = Basis.option(NBD.Option.abort)

  private func replies(_ conversation: [UInt8]) throws -> [NegotiationTests.OptionReply] {
    try Basis.replies(Basis.talk(Basis.flags + conversation + Self.abort).0).dropLast()
  }

  // MARK: Structured replies

  @Test func structuredRepliesAreAcknowledgedInBytes() {
    let (bytes, _, _) = Basis.talk(Basis.flags + Self.structured)
    #expect(bytes == [0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9] + [0, 0, 0, 8] + [0, 0, 0, 1] + [0, 0, 0, 0])
  }

  /// SEND_DF is bit 7, and is there if and only if structured replies were negotiated.
  @Test func dontFragmentIsOfferedWithStructuredReplies() throws {
    let info = Basis.option(NBD.Option.info, Basis.infoData("", []))
    let replies = try replies(info + Self.structured + info)
    #expect(replies.map(\.type) == [3, 1, 1, 3, 1])
    #expect(replies[0].data.suffix(2) == [0x05, 0x6D])
    #expect(replies[3].data.suffix(2) == [0x05, 0xED])
    let (bytes, outcome, _) = Basis.talk(Basis.flags + Self.structured + Basis.option(NBD.Option.exportName))
    #expect(outcome == .serve(unit: 0, .structuredReplies))
    #expect(bytes.suffix(10) == [0, 0, 0, 0, 0, 64, 0, 0, 0x05, 0xED])
  }

  @Test func structuredRepliesAreAgreedOn() {
    #expect(Basis.talk(Basis.flags + Self.go).1 == .serve(unit: 0, []))
    #expect(Basis.talk(Basis.flags + Self.structured + Self.go).1 == .serve(unit: 0, .structuredReplies))
    #expect(
      Basis.talk(Basis.flags + Self.structured + Self.structured + Self.go).1 == .serve(unit: 0, .structuredReplies))
    let refused = Basis.option(NBD.Option.structuredReply, [1])
    #expect(Basis.talk(Basis.flags + refused + Self.go).1 == .serve(unit: 0, []))
  }

  // MARK: Metadata contexts

  @Test(arguments: [NBD.Option.listMetaContext, NBD.Option.setMetaContext])
  func contextsNeedStructuredReplies(option: UInt32) throws {
    let replies = try replies(Basis.option(option, Self.metaData("", [NBD.allocationContext])))
    #expect(replies.map(\.type) == [NBD.OptionReply.invalid])
  }

  @Test(arguments: [
    ([], true), ([""], true), (["base:"], true), (["base:allocation"], true), (["base:other"], false),
    (["qemu:dirty-bitmap:x", "base:allocation"], true), (["qemu:"], false), (["allocation"], false),
    (["base:allocatio"], false), (["base:allocation\0"], false), (["base:", "base:allocation"], true),
  ])
  func listing(queries: [String], isListed: Bool) throws {
    let replies = try replies(
      Self.structured + Basis.option(NBD.Option.listMetaContext, Self.metaData("ns7", queries)))
    let expected: [UInt32] = isListed ? [NBD.OptionReply.metaContext] : []
    #expect(replies.dropFirst().map(\.type) == expected + [NBD.OptionReply.ack])
    if isListed { #expect(replies[1].data == [0, 0, 0, 0] + Array("base:allocation".utf8)) }
  }

  @Test(arguments: [
    ([], false), ([""], false), (["base:"], false), (["base:allocation"], true), (["x-test:1"], false),
    (["x-test:1", "base:allocation", "base:allocation"], true),
  ])
  func selecting(queries: [String], isSelected: Bool) throws {
    let option = Basis.option(NBD.Option.setMetaContext, Self.metaData("", queries))
    let replies = try replies(Self.structured + option)
    let expected: [UInt32] = isSelected ? [NBD.OptionReply.metaContext] : []
    #expect(replies.dropFirst().map(\.type) == expected + [NBD.OptionReply.ack])
    if isSelected { #expect(replies[1].data == [0, 0, 0, 1] + Array("base:allocation".utf8)) }
    let agreement: Agreement = isSelected ? [.structuredReplies, .allocation] : .structuredReplies
    #expect(Basis.talk(Basis.flags + Self.structured + option + Self.go).1 == .serve(unit: 0, agreement))
  }

  /// "The final time it was sent, it referred to the same export name that was ultimately selected", and did not fail.
  @Test func theLastSelectionCounts() {
    let select = { (name: String, queries: [String]) in
      Basis.option(NBD.Option.setMetaContext, Self.metaData(name, queries))
    }
    let allocation = [NBD.allocationContext]
    let outcome = { (conversation: [UInt8]) in Basis.talk(Basis.flags + Self.structured + conversation + Self.go).1 }
    #expect(outcome(select("ns1", allocation)) == .serve(unit: 0, [.structuredReplies, .allocation]))
    #expect(outcome(select("ns7", allocation)) == .serve(unit: 0, .structuredReplies))
    #expect(outcome(select("", allocation) + select("ns7", allocation)) == .serve(unit: 0, .structuredReplies))
    #expect(outcome(select("", allocation) + select("", [])) == .serve(unit: 0, .structuredReplies))
    #expect(outcome(select("", allocation) + select("other", allocation)) == .serve(unit: 0, .structuredReplies))
    let malformed = Basis.option(NBD.Option.setMetaContext, [0])
    #expect(outcome(select("", allocation) + malformed) == .serve(unit: 0, .structuredReplies))
    let list = Basis.option(NBD.Option.listMetaContext, Self.metaData("", []))
    #expect(outcome(select("", allocation) + list) == .serve(unit: 0, [.structuredReplies, .allocation]))
  }

  @Test(arguments: [
    ([], NBD.OptionReply.invalid),
    ([0, 0, 0, 0], NBD.OptionReply.invalid),
    ([0, 0, 0, 9, 65], NBD.OptionReply.invalid),
    ([0, 0, 0, 0, 0, 0, 0, 1], NBD.OptionReply.invalid),
    ([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 65], NBD.OptionReply.invalid),
    ([0, 0, 0, 0, 0, 0, 0, 0, 1], NBD.OptionReply.invalid),
    ([0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], NBD.OptionReply.invalid),
    ([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], NBD.OptionReply.invalid),
    (metaData("other", ["base:allocation"]), NBD.OptionReply.unknownExport),
    (metaData("", [String(repeating: "x", count: 4097)]), NBD.OptionReply.invalid),
    (metaData("", [String(repeating: "x", count: 4096)]), NBD.OptionReply.ack),
    (metaData("", [String](repeating: "x-a:b", count: 64)), NBD.OptionReply.ack),
    (metaData("", [String](repeating: "x-a:b", count: 65)), NBD.OptionReply.tooBig),
    ([UInt8](repeating: 0, count: 9000), NBD.OptionReply.tooBig),
  ])
  func malformedQueriesLeaveTheClientInStep(data: [UInt8], reply: UInt32) throws {
    for option in [NBD.Option.listMetaContext, NBD.Option.setMetaContext] {
      let replies = try replies(Self.structured + Basis.option(option, data) + Basis.option(NBD.Option.list))
      #expect(replies.map(\.type) == [1, reply, 2, 2, 1])
    }
  }

  // MARK: Size constraints

  /// Blocks of more than 512 bytes have to be known before transmission; of 512 bytes everybody assumes at least.
  @Test func largeBlocksHaveToBeKnown() throws {
    for option in [NBD.Option.info, NBD.Option.go] {
      let replies = try replies(Basis.option(option, Basis.infoData("ns7", [1])))
      // The answer to what was not asked comes along, in front of the error.
      #expect(replies.map(\.type) == [NBD.OptionReply.info, NBD.OptionReply.blockSizeRequired])
      #expect(replies[0].data == [0, 3] + [0, 0, 16, 0] + [0, 0, 16, 0] + [0, 16, 0, 0])
      #expect(replies[1].text.contains("4096"))
    }
    let asked = Basis.option(NBD.Option.info, Basis.infoData("ns7", [3]))
    let plain = Basis.option(NBD.Option.go, Basis.infoData("ns7", []))
    #expect(Basis.talk(Basis.flags + asked + plain).1 == .serve(unit: 1, []))
    #expect(Basis.talk(Basis.flags + plain + plain).1 == .proceed, "that it was told does not mean that it listened")
  }

  // MARK: Order

  @Test func unknownOptionsAreRefusedInOrder() throws {
    var conversation: [UInt8] = []
    for number: UInt32 in 100..<120 {
      conversation += Basis.option(number, [UInt8](repeating: 0x49, count: Int(number) * 97))
    }
    let replies = try replies(conversation)
    #expect(replies.map(\.option) == Array(100..<120))
    for reply in replies {
      #expect(reply.type == (reply.option * 97 > 8192 ? NBD.OptionReply.tooBig : NBD.OptionReply.unsupported))
    }
  }

  @Test func abortIgnoresItsData() throws {
    let (bytes, outcome, _) = Basis.talk(Basis.flags + Basis.option(NBD.Option.abort, [1, 2, 3]))
    #expect(outcome == .hangUp)
    #expect(try Basis.replies(bytes).map(\.type) == [NBD.OptionReply.ack])
  }
}
