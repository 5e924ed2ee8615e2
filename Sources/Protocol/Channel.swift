import Platform

/// One end of a control conversation: sends one kind of message, receives another.
///
/// The socket is not owned; whoever made it closes it.
public struct ControlChannel<Outgoing: ControlMessage, Incoming: ControlMessage> {
  /// The SOCK_SEQPACKET file.
  public let socket: Int32

  public init(socket: Int32) { self.socket = socket }

  /// Sends `message` without waiting, with copies of `files`.
  /// - Throws: ``Failure`` `control-send`.
  public func send(_ message: Outgoing, generation: UInt32 = 0, files: [Int32] = []) throws(Failure) {
    let bytes = Envelope(generation: generation, message).encoded()
    let result: Result<Void, Failure> = bytes.withUnsafeBytes { buffer in
      do throws(Failure) {
        try PacketSocket.send(buffer, files: files, to: socket)
        return .success(())
      } catch { return .failure(error) }
    }
    try result.get()
  }

  /// What ``receive()`` found.
  public enum Reception {
    /// A message and the files that came with it, which the caller owns.
    case message(Envelope<Incoming>, files: [Int32])
    /// Bytes that are no message; files that came with them are closed.
    case malformed(WireError)
    case empty
    case closed
  }

  /// Takes the next message, without waiting.
  /// - Throws: ``Failure`` `control-receive` when the socket itself fails.
  public func receive() throws(Failure) -> Reception {
    // One byte more than a message, so that a longer one is seen as such and not cut to fit.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: controlMessageSize + 1, alignment: 8)
    defer { buffer.deallocate() }
    switch try PacketSocket.receive(into: buffer, from: socket) {
    case .empty: return .empty
    case .closed: return .closed
    case .message(let length, let files):
      do throws(WireError) {
        return .message(try Envelope(decoding: UnsafeRawBufferPointer(rebasing: buffer[..<length])), files: files)
      } catch {
        for file in files { Descriptor.close(file) }
        return .malformed(error)
      }
    }
  }
}
