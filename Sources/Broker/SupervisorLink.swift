import CBulkhead
import Glibc
import Platform
import Protocol

/// The broker's end of its conversation with the supervisor. It never waits: what the socket does not take at once is
/// kept, in order, until it does.
public final class SupervisorLink {
  /// The socket's number in a broker.
  public static let file: Int32 = 3

  private struct Pending {
    var event: BrokerEvent
    var generation: UInt32
    var files: [Int32]
  }

  /// The most events that are kept; a supervisor that reads nothing for so long has to be started anew anyway.
  static let capacity = 512

  private let channel: ControlChannel<BrokerEvent, BrokerCommand>
  private let loop: EventLoop
  private var token: EventLoop.Token?
  private var outbox: [Pending] = []
  /// False once the supervisor has hung up.
  public private(set) var isOpen = true

  public init(socket: Int32, loop: EventLoop) {
    channel = ControlChannel(socket: socket)
    self.loop = loop
  }

  /// What was received.
  enum Reception {
    case command(BrokerCommand, generation: UInt32, files: [Int32])
    case nothing
    case hungUp
  }

  /// Waits for the first command.
  func first() throws(Failure) -> (BrokerCommand, files: [Int32]) {
    while true {
      var polled = pollfd(fd: channel.socket, events: Int16(POLLIN), revents: 0)
      _ = bh_ppoll(&polled, 1, -1)
      switch try receive() {
      case .command(let command, _, let files): return (command, files)
      case .nothing: continue
      case .hungUp: throw Failure("broker-supervisor", "wait for the configuration", errno: EPIPE)
      }
    }
  }

  /// Calls `handler` whenever there may be something to receive.
  func watch(_ handler: @escaping () -> Void) {
    token = loop.watch(channel.socket) { [unowned self] events in
      if events & Int16(POLLOUT) != 0 { self.drain() }
      handler()
    }
  }

  /// Takes the next command. The supervisor is trusted, but bytes that are none are not guessed at.
  func receive() throws(Failure) -> Reception {
    guard isOpen else { return .hungUp }
    switch try channel.receive() {
    case .message(let envelope, let files):
      return .command(envelope.message, generation: envelope.generation, files: files)
    case .empty: return .nothing
    case .malformed(let error):
      throw Failure(
        "broker-command", "understand the supervisor (\(error))",
        hint: "bulkheadd and bulkhead-broker differ in version")
    case .closed:
      close()
      return .hungUp
    }
  }

  /// Sends an event. `files` are closed here, whatever becomes of it.
  func send(_ event: BrokerEvent, generation: UInt32 = 0, files: [Int32] = []) {
    // Of a link only its last state counts. A driver whose link never rests must not keep what is said of it from being
    // heard.
    if case .networkLink = event, let last = outbox.last, case .networkLink = last.event {
      outbox[outbox.count - 1] = Pending(event: event, generation: generation, files: files)
      return
    }
    guard isOpen, outbox.count < Self.capacity else { return files.forEach(Descriptor.close) }
    outbox.append(Pending(event: event, generation: generation, files: files))
    drain()
  }

  /// Waits, for at most a second, until everything is sent; for the last words.
  func flush() {
    let deadline = monotonicNow() + 1_000_000_000
    while isOpen, !outbox.isEmpty, monotonicNow() < deadline {
      var polled = pollfd(fd: channel.socket, events: Int16(POLLOUT), revents: 0)
      _ = bh_ppoll(&polled, 1, 100_000_000)
      drain()
    }
  }

  private func drain() {
    while let next = outbox.first {
      do throws(Failure) {
        try channel.send(next.event, generation: next.generation, files: next.files)
      } catch {
        if error.errno == EAGAIN || error.errno == ENOBUFS { break }
        Log.warning("the supervisor cannot be told: \(error)")
        return close()
      }
      next.files.forEach(Descriptor.close)
      outbox.removeFirst()
    }
    if let token { loop.setEvents(outbox.isEmpty ? POLLIN : POLLIN | POLLOUT, for: token) }
  }

  private func close() {
    guard isOpen else { return }
    isOpen = false
    if let token { loop.remove(token) }
    token = nil
    for pending in outbox { pending.files.forEach(Descriptor.close) }
    outbox = []
  }
}
