import CBulkhead
import Glibc

/// A SOCK_SEQPACKET Unix socket: messages keep their bounds and can carry open files.
public enum PacketSocket {
  /// Two connected ends, non-blocking and close-on-exec.
  /// - Throws: ``Failure`` `socketpair`.
  public static func pair() throws(Failure) -> (Int32, Int32) {
    var ends: (Int32, Int32) = (-1, -1)
    let result = withUnsafeMutablePointer(to: &ends) {
      $0.withMemoryRebound(to: Int32.self, capacity: 2) { bh_seqpacket_pair($0) }
    }
    try checked(result, "socketpair", "create a control socket")
    return ends
  }

  /// Sends one message, with copies of `files`.
  /// - Throws: ``Failure`` `control-send`; EPIPE or ECONNRESET when the peer is gone, EAGAIN when it does not read.
  public static func send(_ bytes: UnsafeRawBufferPointer, files: [Int32] = [], to socket: Int32) throws(Failure) {
    let sent = bh_send_message(socket, bytes.baseAddress, bytes.count, files, files.count)
    try checked(sent, "control-send", "send a control message")
  }

  /// What ``receive(into:from:)`` found.
  public enum Reception {
    /// A message of so many bytes, with the files that came with it (the caller owns them).
    case message(length: Int, files: [Int32])
    /// Nothing to read now.
    case empty
    /// The peer is gone.
    case closed
  }

  /// Receives one message without waiting. An oversize message is refused whole.
  /// - Throws: ``Failure`` `control-receive`; EMSGSIZE for a message that does not fit.
  public static func receive(into buffer: UnsafeMutableRawBufferPointer, from socket: Int32) throws(Failure)
    -> Reception
  {
    let room = Int(BH_MAX_FDS)
    var files = [Int32](repeating: -1, count: room)
    var count = room
    let got = bh_receive_message(socket, buffer.baseAddress, buffer.count, &files, &count)
    switch Int32(-got) {
    case EAGAIN, EINTR: return .empty
    case ECONNRESET, EPIPE: return .closed
    default: break
    }
    try checked(got, "control-receive", "receive a control message")
    // A message of no bytes looks the same, but can carry files.
    guard got > 0 else {
      files.prefix(count).forEach(Descriptor.close)
      return .closed
    }
    return .message(length: got, files: Array(files.prefix(count)))
  }
}
