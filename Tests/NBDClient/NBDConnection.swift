import CBulkhead
import Glibc
import Platform

/// One connection to an NBD export: a negotiation that waits, then requests that do not.
///
/// Not for several threads. The server is not trusted: what it must not send ends the connection.
public final class NBDConnection {
  /// What ``receive(_:)`` found.
  public struct Completion: Sendable, Equatable {
    public var cookie: UInt64
    /// "Error values" of the protocol; 0: done.
    public var error: UInt32
  }

  private struct Pending {
    var memory: UnsafeMutableRawPointer?
    /// Bytes of payload that come with a good answer.
    var expected: Int
  }

  public let export: NBDExport
  private let socket: Descriptor
  private var pending: [UInt64: Pending] = [:]
  private var outgoing: [NBDRequest] = []
  private var sent = 0
  private let outgoingHeader = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 8)
  private let header = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 8)
  private var headerCount = 0
  private var current: (cookie: UInt64, memory: UnsafeMutableRawPointer, left: Int)?
  public private(set) var isLost = false

  /// Connects and negotiates with GO.
  /// - Parameter name: of the export; empty: the server's first.
  /// - Throws: ``Failure`` `socket-connect`, `nbd-negotiation`.
  public init(socket path: String, name: String = "", within time: Nanoseconds = 10_000_000_000) throws(Failure) {
    let socket = try UnixSocket.connect(to: path)
    var negotiation = ClientNegotiation(file: socket.number, deadline: bh_monotonic_ns() + time)
    export = try negotiation.go(name)
    self.socket = socket
  }

  deinit {
    header.deallocate()
    outgoingHeader.deallocate()
  }

  /// To be polled for ``events``.
  public var file: Int32 { socket.number }
  public var events: Int16 { Int16(POLLIN) | (outgoing.isEmpty ? 0 : Int16(POLLOUT)) }
  public var inFlight: Int { pending.count }
  /// Requests without an answer; what became of them is unknown once the connection is lost.
  public var cookies: [UInt64] { Array(pending.keys) }

  /// Takes a request, and sends as much as goes without waiting.
  public func submit(_ request: NBDRequest) {
    precondition(pending[request.cookie] == nil, "a cookie is used twice")
    pending[request.cookie] = Pending(
      memory: request.kind == .read ? request.memory : nil, expected: request.kind == .read ? request.length : 0)
    outgoing.append(request)
    send()
  }

  /// Sends what is waiting, as far as the server takes it.
  public func send() {
    while let request = outgoing.first, !isLost {
      let payload = request.kind == .write ? request.length : 0
      let total = NBDRequest.headerSize + payload
      request.encodeHeader(into: outgoingHeader)
      var parts: [bh_part] = []
      if sent < NBDRequest.headerSize {
        parts.append(bh_part(base: outgoingHeader + sent, length: NBDRequest.headerSize - sent))
        if payload > 0 { parts.append(bh_part(base: request.memory!, length: payload)) }
      } else {
        let done = sent - NBDRequest.headerSize
        parts.append(bh_part(base: request.memory! + done, length: payload - done))
      }
      let count = bh_send_parts(socket.number, parts, parts.count)
      if count == -Int(EAGAIN) || count == -Int(EINTR) { return }
      guard count > 0 else {
        isLost = true
        return
      }
      sent += count
      guard sent == total else { continue }
      sent = 0
      outgoing.removeFirst()
    }
  }

  /// Takes what has come, without waiting.
  public func receive(_ handler: (Completion) -> Void) {
    while !isLost {
      if let (cookie, memory, left) = current {
        guard let count = take(memory, left) else { return }
        current = count == left ? nil : (cookie, memory + count, left - count)
        if current == nil { finish(cookie, 0, handler) }
        continue
      }
      guard let count = take(header + headerCount, 16 - headerCount) else { return }
      headerCount += count
      guard headerCount == 16 else { continue }
      headerCount = 0
      let magic = UInt32(bigEndian: header.load(as: UInt32.self))
      let error = UInt32(bigEndian: header.load(fromByteOffset: 4, as: UInt32.self))
      let cookie = UInt64(bigEndian: header.load(fromByteOffset: 8, as: UInt64.self))
      guard magic == 0x6744_6698, let request = pending[cookie] else {
        isLost = true
        return
      }
      if error == 0, request.expected > 0, let memory = request.memory {
        current = (cookie, memory, request.expected)
      } else {
        finish(cookie, error, handler)
      }
    }
  }

  private func finish(_ cookie: UInt64, _ error: UInt32, _ handler: (Completion) -> Void) {
    pending[cookie] = nil
    handler(Completion(cookie: cookie, error: error))
  }

  /// nil: nothing there now, or the connection is lost.
  private func take(_ memory: UnsafeMutableRawPointer, _ room: Int) -> Int? {
    let count = bh_receive_bytes(socket.number, memory, room)
    if count > 0 { return count }
    if count != -Int(EAGAIN), count != -Int(EINTR) { isLost = true }
    return nil
  }

  /// Waits until `cookie` has its answer.
  /// - Returns: the answer's error value; nil: the connection was lost, or no answer came in time.
  public func wait(for cookie: UInt64, within time: Nanoseconds = 10_000_000_000) -> UInt32? {
    let deadline = bh_monotonic_ns() + time
    var answer: UInt32?
    while answer == nil, !isLost {
      send()
      receive { if $0.cookie == cookie { answer = $0.error } }
      if answer != nil || isLost { break }
      guard NBDClient.wait(for: Int32(events), on: file, until: deadline) else { return nil }
    }
    return answer
  }
}
