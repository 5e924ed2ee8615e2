import Glibc
import Platform
import Protocol

/// A broker's process with the conversation with it.
final class BrokerLink {
  let process: ChildProcess
  let log: LogPipe
  private let channel: ControlChannel<BrokerCommand, BrokerEvent>
  private let loop: EventLoop
  private var token: EventLoop.Token?
  private let onEvent: (Envelope<BrokerEvent>, [Int32]) -> Void

  /// - Parameters:
  ///   - socket: our end of the control socket; owned from now on.
  ///   - onEvent: gets each message; files that came with it are closed afterwards.
  init(
    process: ChildProcess, log: LogPipe, socket: Int32, loop: EventLoop,
    onEvent: @escaping (Envelope<BrokerEvent>, [Int32]) -> Void
  ) {
    self.process = process
    self.log = log
    self.loop = loop
    self.onEvent = onEvent
    channel = ControlChannel(socket: socket)
    token = loop.watch(socket) { [weak self] _ in self?.receive() }
  }

  deinit {
    if let token { loop.remove(token) }
    Descriptor.close(channel.socket)
  }

  /// - Throws: ``Failure`` `control-send`.
  func send(_ command: BrokerCommand, generation: UInt32 = 0, files: [Int32] = []) throws(Failure) {
    try channel.send(command, generation: generation, files: files)
  }

  /// Takes all messages that are there; a broker's last words come before the news of its end.
  func receive() {
    while token != nil {
      switch try? channel.receive() {
      case .message(let envelope, let files):
        onEvent(envelope, files)
        for file in files { Descriptor.close(file) }
      case .empty: return
      case .malformed(let error):
        // Both ends are ours: this is a mixture of versions, or a broker that was taken over. It has to go.
        log.report("the broker sent a malformed message (\(error)); it is ended")
        process.kill()
        return stopWatching()
      case .closed, nil: return stopWatching()
      }
    }
  }

  private func stopWatching() {
    if let token { loop.remove(token) }
    token = nil
  }
}
