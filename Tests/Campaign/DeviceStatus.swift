import CBulkhead
import Glibc
import NBDClient
import Platform

/// What bulkheadd says of a device, as far as an assailant wants to know.
public struct DeviceStatus: Sendable, Equatable {
  public var state: String
  public var generation: Int
  public var driver: pid_t?
  public var broker: pid_t?

  /// Finds the members in a reply of `io.bulkhead.Status`; each name occurs once in it, or first for the device.
  init?(reply: [UInt8]) {
    let text = String(decoding: reply, as: UTF8.self)
    guard let state = Self.member("state", of: text), let generation = Self.member("generation", of: text),
      let number = Int(generation)
    else { return nil }
    self.state = state
    self.generation = number
    driver = Self.member("driverPid", of: text).flatMap { pid_t($0) }
    broker = Self.member("brokerPid", of: text).flatMap { pid_t($0) }
  }

  private static func member(_ name: String, of text: String) -> String? {
    let bytes = Array(text.utf8)
    let key = Array("\"\(name)\":".utf8)
    guard bytes.count > key.count else { return nil }
    for start in 0..<bytes.count - key.count where bytes[start] == key[0] {
      guard bytes[start..<start + key.count].elementsEqual(key) else { continue }
      let value = bytes[(start + key.count)...].prefix { $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "}") }
      return String(decoding: value.filter { $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: " ") }, as: UTF8.self)
    }
    return nil
  }
}

/// Asks bulkheadd for the status of one device, again and again, without waiting.
public final class StatusClient {
  private let path: String
  private let question: [UInt8]
  private var socket: Int32?
  private var reply: [UInt8] = []
  public private(set) var isAsking = false

  public init(socket path: String, device: String) {
    self.path = path
    question = Array(#"{"method":"io.bulkhead.Status","parameters":{"device":"\#(device)"}}"#.utf8) + [0]
  }

  deinit { if let socket { Descriptor.close(socket) } }

  /// To be polled for input while ``isAsking``.
  public var file: Int32? { socket }

  /// Sends the question, if none is open.
  /// - Throws: ``Failure`` `socket-connect`, `status`.
  public func ask() throws(Failure) {
    guard !isAsking else { return }
    if socket == nil { socket = try UnixSocket.connect(to: path).release() }
    let sent = question.withUnsafeBytes {
      bh_send_parts(
        socket!, [bh_part(base: UnsafeMutableRawPointer(mutating: $0.baseAddress), length: $0.count)], 1)
    }
    try checked(sent, "status", "ask bulkheadd at \(path)")
    isAsking = true
    reply = []
  }

  /// The answer, once it is there.
  /// - Throws: ``Failure`` `status`.
  public func take() throws(Failure) -> DeviceStatus? {
    guard isAsking, let socket else { return nil }
    var bytes = [UInt8](repeating: 0, count: 16384)
    while true {
      let count = bh_receive_bytes(socket, &bytes, bytes.count)
      if count == -Int(EAGAIN) || count == -Int(EINTR) { return nil }
      guard count > 0 else { throw Failure("status", "hear from bulkheadd", errno: count < 0 ? Int32(-count) : EPIPE) }
      reply += bytes.prefix(count)
      guard reply.last == 0 else { continue }
      isAsking = false
      guard let status = DeviceStatus(reply: reply) else {
        throw Failure("status", "understand bulkheadd: \(String(decoding: reply.dropLast(), as: UTF8.self))")
      }
      return status
    }
  }

  /// Asks and waits for the answer.
  /// - Throws: ``Failure`` `status`.
  public func askAndWait(within time: Nanoseconds = 10_000_000_000) throws(Failure) -> DeviceStatus {
    try ask()
    let deadline = bh_monotonic_ns() + time
    while true {
      if let status = try take() { return status }
      var entry = pollfd(fd: socket!, events: Int16(POLLIN), revents: 0)
      guard bh_ppoll(&entry, 1, max(0, deadline - bh_monotonic_ns())) > 0 else {
        throw Failure("status", "wait for bulkheadd", errno: ETIMEDOUT)
      }
    }
  }
}
