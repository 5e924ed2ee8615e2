import CBulkhead
import Glibc

/// The driver's end of its conversation with the broker, checked against the declared protocol in both directions.
///
/// It reads and writes plain bytes: the jail permits no call that could receive or pass on open files.
package final class ControlPort {
  let socket: Int32
  /// Which of the broker's drivers this is; learned from the grant, 0 before.
  private(set) var generation: UInt32 = 0
  private var monitor = Monitor(DriverConversation.machine)
  /// One byte more than a message, so that a longer one is seen as such.
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: controlMessageSize + 1, alignment: 8)

  package init(socket: Int32) { self.socket = socket }

  deinit { buffer.deallocate() }

  var state: DriverConversation.State { monitor.state }

  /// - Throws: hang-up, or ``FailureCode/protocolError`` when the broker takes no messages for ten seconds.
  package func send(_ message: DriverMessage) throws(DriverFailure) {
    let before = monitor.state
    guard monitor.advance(.driver(message.kind)) else {
      preconditionFailure("the driver may not say \(message.kind) while \(before)")
    }
    try sendUnchecked(Envelope(generation: generation, message).encoded())
  }

  /// Sends bytes as they are. Only the hostile driver needs that.
  func sendUnchecked(_ bytes: [UInt8]) throws(DriverFailure) {
    let deadline = monotonicNow() + 10_000_000_000
    while true {
      let sent = Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      if sent == bytes.count { return }
      guard errno == EAGAIN || errno == EINTR else { throw .hangUp }
      guard monotonicNow() < deadline else {
        throw DriverFailure(.protocolError, "the broker takes no messages", errno: UInt16(EAGAIN))
      }
      var state = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
      _ = bh_ppoll(&state, 1, 100_000_000)
    }
  }

  /// The next message, or nil where there is none now.
  /// - Throws: hang-up; ``FailureCode/protocolError`` for what is no message, or none that may come now.
  package func receive() throws(DriverFailure) -> BrokerMessage? {
    let length = recv(socket, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
    if length < 0, errno == EAGAIN || errno == EINTR { return nil }
    guard length > 0 else { throw .hangUp }
    let envelope: Envelope<BrokerMessage>
    do throws(WireError) {
      envelope = try Envelope(decoding: UnsafeRawBufferPointer(rebasing: buffer[..<length]))
    } catch {
      throw DriverFailure(.protocolError, "the broker sent what is no message: \(error)")
    }
    let before = monitor.state
    guard monitor.advance(.broker(envelope.message.kind)) else {
      throw DriverFailure(.protocolError, "the broker said \(envelope.message.kind) while \(before)")
    }
    if case .grant = envelope.message { generation = envelope.generation }
    guard envelope.generation == generation else {
      throw DriverFailure(
        .protocolError, "a message for generation \(envelope.generation) came to generation \(generation)")
    }
    return envelope.message
  }
}
