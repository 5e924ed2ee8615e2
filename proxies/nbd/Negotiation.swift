import Protocol

/// The server's side of the fixed newstyle negotiation with one client, over bytes: nothing here knows of sockets.
///
/// The caller brings at most ``room`` bytes at a time, never more than belong to the negotiation, and sends ``output``.
final class Negotiation {
  enum Outcome: Equatable {
    /// More bytes are wanted.
    case proceed
    /// The client has chosen a unit: send the output, then serve.
    case serve(unit: Int, Agreement)
    /// Send the output, then hang up.
    case hangUp
  }

  /// What the next bytes are.
  private enum Expectation {
    case clientFlags
    case optionHeader
    case option(UInt32)
    /// Data of an option that is refused for its size; `left` bytes of it are still to come.
    case excess(option: UInt32, left: Int)
  }

  /// The most bytes of an option's data that are looked at: a name of 4096 bytes and some.
  static let largestOption = 8192
  /// A client that haggles for longer than so many options is not going to buy.
  static let mostOptions = 256
  /// The most queries of one option; there is one context.
  static let mostQueries = 64

  private let exports: [Export]
  private var expectation = Expectation.clientFlags
  private var wanted = 4
  private var input: [UInt8] = []
  private var options = 0
  private var omitsZeroes = false
  private var isStructured = false
  /// The unit of which the metadata context was selected last.
  private var allocationUnit: Int?
  /// Units whose block size the client has asked for.
  private var knownBlockSizes: Set<Int> = []
  /// Bytes for the client; the caller takes them away as it sends them.
  var output = NBDWriter()

  init(exports: [Export]) {
    self.exports = exports
    input.reserveCapacity(Self.largestOption)
    output.put(NBD.greetingMagic)
    output.put(NBD.optionMagic)
    output.put(NBD.HandshakeFlags.fixedNewstyle | NBD.HandshakeFlags.noZeroes)
  }

  /// How many bytes can be taken now.
  var room: Int {
    if case .excess(_, let left) = expectation { return min(left, Self.largestOption) }
    return wanted - input.count
  }

  /// Takes bytes, at most ``room``.
  func take(_ bytes: UnsafeRawBufferPointer) -> Outcome {
    precondition(bytes.count <= room, "more bytes than there is room for")
    if case .excess(let option, let left) = expectation {
      guard left == bytes.count else {
        expectation = .excess(option: option, left: left - bytes.count)
        return .proceed
      }
      return answer(option, NBD.OptionReply.tooBig)
    }
    input.append(contentsOf: bytes)
    guard input.count == wanted else { return .proceed }
    defer { input.removeAll(keepingCapacity: true) }
    return complete()
  }

  private func complete() -> Outcome {
    var reader = NBDReader(input)
    switch expectation {
    case .clientFlags:
      let flags = reader.get(UInt32.self)
      let known = UInt32(NBD.HandshakeFlags.fixedNewstyle | NBD.HandshakeFlags.noZeroes)
      guard flags & ~known == 0 else { return .hangUp }
      omitsZeroes = flags & UInt32(NBD.HandshakeFlags.noZeroes) != 0
      return expectOption()
    case .optionHeader:
      guard reader.get(UInt64.self) == NBD.optionMagic else { return .hangUp }
      let option = reader.get(UInt32.self)
      let length = Int(reader.get(UInt32.self))
      options += 1
      guard options <= Self.mostOptions else { return .hangUp }
      if length > Self.largestOption {
        // There is no way to say no to EXPORT_NAME but to hang up.
        if option == NBD.Option.exportName { return .hangUp }
        expectation = .excess(option: option, left: length)
        return .proceed
      }
      expectation = .option(option)
      wanted = length
      return length == 0 ? handle(option, NBDReader([])) : .proceed
    case .option(let option): return handle(option, reader)
    case .excess: preconditionFailure("excess data is not collected")
    }
  }

  private func expectOption() -> Outcome {
    expectation = .optionHeader
    wanted = 16
    return .proceed
  }

  private func handle(_ option: UInt32, _ data: NBDReader) -> Outcome {
    switch option {
    case NBD.Option.exportName: return exportName(data)
    case NBD.Option.abort:
      // Data that comes with it is ignored, by the book.
      reply(option, NBD.OptionReply.ack)
      return .hangUp
    case NBD.Option.list: return list(data)
    case NBD.Option.info, NBD.Option.go: return info(option, data)
    case NBD.Option.structuredReply:
      guard data.left == 0 else { return refuse(option, NBD.OptionReply.invalid, Self.hasData) }
      isStructured = true
      return answer(option, NBD.OptionReply.ack)
    case NBD.Option.listMetaContext, NBD.Option.setMetaContext: return metaContext(option, data)
    case NBD.Option.startTLS where data.left > 0: return refuse(option, NBD.OptionReply.invalid, Self.hasData)
    // STARTTLS among them: a Unix socket, or a socket pair, is as private as its file permissions.
    default: return answer(option, NBD.OptionReply.unsupported)
    }
  }

  private func agreement(on export: Export) -> Agreement {
    var agreement = Agreement()
    if isStructured { agreement.insert(.structuredReplies) }
    if isStructured, allocationUnit == export.unit { agreement.insert(.allocation) }
    return agreement
  }

  private func find(_ name: String) -> Export? { exports.first { $0.isMeant(by: name) } }

  // MARK: Options

  private func exportName(_ data: NBDReader) -> Outcome {
    var data = data
    // A client that is not told the block size is served all the same: it gets EINVAL for what it must not ask.
    guard let export = find(data.text(data.left)) else { return .hangUp }
    let agreement = agreement(on: export)
    output.put(export.size)
    output.put(export.flags(agreement).rawValue)
    if !omitsZeroes { output.putZeroes(124) }
    return .serve(unit: export.unit, agreement)
  }

  private func list(_ data: NBDReader) -> Outcome {
    guard data.left == 0 else { return refuse(NBD.Option.list, NBD.OptionReply.invalid, Self.hasData) }
    for export in exports {
      var body = NBDWriter()
      body.put(UInt32(export.name.utf8.count))
      body.put(export.name)
      body.put(export.description)
      reply(NBD.Option.list, NBD.OptionReply.server, body)
    }
    return answer(NBD.Option.list, NBD.OptionReply.ack)
  }

  private func info(_ option: UInt32, _ data: NBDReader) -> Outcome {
    var data = data
    guard let name = data.string(), data.left >= 2 else {
      return refuse(option, NBD.OptionReply.invalid, Self.malformed)
    }
    let count = Int(data.get(UInt16.self))
    guard data.left == 2 * count else { return refuse(option, NBD.OptionReply.invalid, Self.malformed) }
    guard let export = find(name) else { return refuse(option, NBD.OptionReply.unknownExport, Self.unknownExport) }
    // Each at most once, whatever a client repeats.
    var asked: Set<UInt16> = []
    for _ in 0..<count { asked.insert(data.get(UInt16.self)) }
    if asked.contains(NBD.Info.blockSize) { knownBlockSizes.insert(export.unit) }
    let isRefused = export.needsBlockSizeKnown && !knownBlockSizes.contains(export.unit)
    if isRefused { asked = [NBD.Info.blockSize] }

    if !isRefused {
      var body = NBDWriter()
      body.put(NBD.Info.export)
      body.put(export.size)
      body.put(export.flags(agreement(on: export)).rawValue)
      reply(option, NBD.OptionReply.info, body)
    }
    for item in [NBD.Info.name, NBD.Info.description, NBD.Info.blockSize] where asked.contains(item) {
      reply(option, NBD.OptionReply.info, describe(export, item))
    }
    if isRefused {
      // It was told already, to save it asking.
      return refuse(option, NBD.OptionReply.blockSizeRequired, "this export has blocks of \(export.blockSize) bytes")
    }
    guard option == NBD.Option.go else { return answer(option, NBD.OptionReply.ack) }
    reply(option, NBD.OptionReply.ack)
    return .serve(unit: export.unit, agreement(on: export))
  }

  private func describe(_ export: Export, _ item: UInt16) -> NBDWriter {
    var body = NBDWriter()
    body.put(item)
    switch item {
    case NBD.Info.name: body.put(export.name)
    case NBD.Info.description: body.put(export.description)
    default:
      body.put(export.blockSize)
      body.put(max(export.blockSize, UInt32(PayloadAllocator.pageSize)))
      body.put(export.maximumPayload)
    }
    return body
  }

  private func metaContext(_ option: UInt32, _ data: NBDReader) -> Outcome {
    var data = data
    let isSetting = option == NBD.Option.setMetaContext
    // What was selected before is gone, even if this fails.
    if isSetting { allocationUnit = nil }
    guard isStructured else {
      return refuse(option, NBD.OptionReply.invalid, "structured replies have to be negotiated first")
    }
    guard let name = data.string(), data.left >= 4 else {
      return refuse(option, NBD.OptionReply.invalid, Self.malformed)
    }
    let count = Int(data.get(UInt32.self))
    // Each query takes four bytes at least: a count that cannot be is noticed before anything is done for it.
    guard count <= data.left / 4 else { return refuse(option, NBD.OptionReply.invalid, Self.malformed) }
    guard count <= Self.mostQueries else { return refuse(option, NBD.OptionReply.tooBig, "too many queries") }
    var matches = count == 0 && !isSetting
    for _ in 0..<count {
      guard let query = data.string() else { return refuse(option, NBD.OptionReply.invalid, Self.malformed) }
      switch query {
      case NBD.allocationContext: matches = true
      // Wildcards select nothing; what is not known, or no name at all, is ignored.
      case "base:", "": matches = matches || !isSetting
      default: break
      }
    }
    guard data.left == 0 else { return refuse(option, NBD.OptionReply.invalid, Self.malformed) }
    guard let export = find(name) else { return refuse(option, NBD.OptionReply.unknownExport, Self.unknownExport) }
    if matches {
      var body = NBDWriter()
      body.put(isSetting ? NBD.allocationContextID : 0)
      body.put(NBD.allocationContext)
      reply(option, NBD.OptionReply.metaContext, body)
      if isSetting { allocationUnit = export.unit }
    }
    return answer(option, NBD.OptionReply.ack)
  }

  // MARK: Replies

  private static let hasData = "this option has no data"
  private static let malformed = "the lengths in the option's data do not fit each other"
  private static let unknownExport = "there is no export of this name"

  /// An error, with a text for people.
  private func refuse(_ option: UInt32, _ type: UInt32, _ text: String) -> Outcome {
    var body = NBDWriter()
    body.put(text)
    reply(option, type, body)
    return expectOption()
  }

  /// The last reply to an option.
  private func answer(_ option: UInt32, _ type: UInt32) -> Outcome {
    reply(option, type)
    return expectOption()
  }

  private func reply(_ option: UInt32, _ type: UInt32, _ body: NBDWriter = NBDWriter()) {
    output.put(NBD.optionReplyMagic)
    output.put(option)
    output.put(type)
    output.put(UInt32(body.bytes.count))
    output.put(body)
  }
}
