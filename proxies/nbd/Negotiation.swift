import Protocol

/// The server's side of the fixed newstyle negotiation with one client, over bytes: nothing here knows of sockets.
///
/// The caller brings at most ``room`` bytes at a time, never more than belong to the negotiation, and sends ``output``.
final class Negotiation {
  enum Outcome: Equatable {
    /// More bytes are wanted.
    case proceed
    /// The client has chosen a unit: send the output, then serve.
    case serve(unit: Int)
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

  private let exports: [Export]
  private var expectation = Expectation.clientFlags
  private var wanted = 4
  private var input: [UInt8] = []
  private var options = 0
  private var omitsZeroes = false
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
      reply(option, NBD.OptionReply.ack)
      return .hangUp
    case NBD.Option.list: return list(data)
    case NBD.Option.info, NBD.Option.go: return info(option, data)
    default: return answer(option, NBD.OptionReply.unsupported)
    }
  }

  // MARK: Options

  private func exportName(_ data: NBDReader) -> Outcome {
    var data = data
    let name = data.text(data.left)
    guard let export = exports.first(where: { $0.isMeant(by: name) }) else { return .hangUp }
    output.put(export.size)
    output.put(export.flags.rawValue)
    if !omitsZeroes { output.putZeroes(124) }
    return .serve(unit: export.unit)
  }

  private func list(_ data: NBDReader) -> Outcome {
    guard data.left == 0 else { return answer(NBD.Option.list, NBD.OptionReply.invalid) }
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
    guard data.left >= 6 else { return answer(option, NBD.OptionReply.invalid) }
    let length = Int(data.get(UInt32.self))
    guard length <= data.left - 2 else { return answer(option, NBD.OptionReply.invalid) }
    let name = data.text(length)
    let count = Int(data.get(UInt16.self))
    guard data.left == 2 * count else { return answer(option, NBD.OptionReply.invalid) }
    guard let export = exports.first(where: { $0.isMeant(by: name) }) else {
      return answer(option, NBD.OptionReply.unknownExport)
    }
    var body = NBDWriter()
    body.put(NBD.Info.export)
    body.put(export.size)
    body.put(export.flags.rawValue)
    reply(option, NBD.OptionReply.info, body)
    // Each at most once, whatever a client repeats.
    var asked: Set<UInt16> = []
    for _ in 0..<count { asked.insert(data.get(UInt16.self)) }
    for item in [NBD.Info.name, NBD.Info.description, NBD.Info.blockSize] where asked.contains(item) {
      reply(option, NBD.OptionReply.info, describe(export, item))
    }
    guard option == NBD.Option.go else { return answer(option, NBD.OptionReply.ack) }
    reply(option, NBD.OptionReply.ack)
    return .serve(unit: export.unit)
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

  // MARK: Replies

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
