import Glibc

/// What a reply looks like on the wire.
///
/// A client that has negotiated structured replies gets one chunk for each request that is answered with data or an
/// error, and the shorter simple reply where there is nothing to say but that it is done ("Structured reply chunk
/// message": a server may use either for anything but READ). A reply is one chunk, sent when all of it is known: it needs
/// no closing `NBD_REPLY_TYPE_NONE`.
enum Reply {
  static let largestHeader = 128

  private enum Form {
    case simple
    case chunk(type: UInt16, length: Int)
  }

  private static func form(_ request: Request) -> Form {
    guard request.isStructured else { return .simple }
    guard request.error == 0 else {
      let text = request.complaint.text.utf8CodeUnitCount
      // Where the device has failed, the client learns how far it came; a flush has no place.
      return hasErrorOffset(request)
        ? .chunk(type: NBD.Chunk.errorOffset, length: 14 + text) : .chunk(type: NBD.Chunk.error, length: 6 + text)
    }
    switch request.answer {
    case .nothing: return .simple
    case .data:
      // A chunk of no data does not exist.
      guard request.length > 0 else { return .chunk(type: NBD.Chunk.none, length: 0) }
      return .chunk(type: NBD.Chunk.offsetData, length: 8 + Int(request.length))
    case .extent: return .chunk(type: NBD.Chunk.blockStatus, length: 12)
    }
  }

  private static func hasErrorOffset(_ request: Request) -> Bool {
    // What fails for the flush behind a write is no place in it.
    request.complaint == .device && request.errorOffset >= request.offset && request.errorOffset < request.end
  }

  /// Bytes in front of the payload.
  @inline(__always)
  static func headerSize(_ request: Request) -> Int {
    switch form(request) {
    case .simple: NBD.simpleReplySize
    case .chunk(_, let length): NBD.chunkHeaderSize + length - payloadSize(request)
    }
  }

  /// Bytes of payload behind the header.
  @inline(__always)
  static func payloadSize(_ request: Request) -> Int {
    request.answer == .data && request.error == 0 ? Int(request.length) : 0
  }

  /// Writes the header; always the same for the same request, so that it can be sent in pieces.
  static func writeHeader(_ request: Request, at memory: UnsafeMutableRawPointer) {
    guard case .chunk(let type, let length) = form(request) else {
      memory.storeBytes(of: NBD.simpleReplyMagic.bigEndian, as: UInt32.self)
      memory.storeBytes(of: request.error.bigEndian, toByteOffset: 4, as: UInt32.self)
      memory.storeBytes(of: request.cookie.bigEndian, toByteOffset: 8, as: UInt64.self)
      return
    }
    memory.storeBytes(of: NBD.structuredReplyMagic.bigEndian, as: UInt32.self)
    memory.storeBytes(of: NBD.replyDone.bigEndian, toByteOffset: 4, as: UInt16.self)
    memory.storeBytes(of: type.bigEndian, toByteOffset: 6, as: UInt16.self)
    memory.storeBytes(of: request.cookie.bigEndian, toByteOffset: 8, as: UInt64.self)
    memory.storeBytes(of: UInt32(length).bigEndian, toByteOffset: 16, as: UInt32.self)
    let body = memory + NBD.chunkHeaderSize
    if request.error != 0 {
      writeError(request, at: body)
    } else if request.answer == .extent {
      body.storeBytes(of: NBD.allocationContextID.bigEndian, as: UInt32.self)
      body.storeBytes(of: request.length.bigEndian, toByteOffset: 4, as: UInt32.self)
      body.storeBytes(of: request.allocation.bigEndian, toByteOffset: 8, as: UInt32.self)
    } else if request.length > 0 {
      body.storeBytes(of: request.offset.bigEndian, as: UInt64.self)
    }
  }

  private static func writeError(_ request: Request, at body: UnsafeMutableRawPointer) {
    let text = request.complaint.text
    let count = text.utf8CodeUnitCount
    body.storeBytes(of: request.error.bigEndian, as: UInt32.self)
    body.storeBytes(of: UInt16(count).bigEndian, toByteOffset: 4, as: UInt16.self)
    memcpy(body + 6, text.utf8Start, count)
    if hasErrorOffset(request) {
      var offset = request.errorOffset.bigEndian
      memcpy(body + 6 + count, &offset, 8)
    }
  }
}
