import CBulkhead
import Control
import Glibc
import Platform

/// One client of the service. Whatever it sends or does not read, it harms only itself.
final class VarlinkConnection {
  /// Bytes of replies that may wait for a client that does not read.
  static let maximumBacklog = 4 * 1024 * 1024
  /// Calls that may wait for their turn.
  static let maximumCalls = 32

  let uid: uid_t
  private let file: Int32
  private let loop: EventLoop
  private var token: EventLoop.Token?
  private var framer = VarlinkFramer(limit: Varlink.maximumCall)
  private var calls: [[UInt8]] = []
  private var output: [UInt8] = []
  private var isAnswering = false
  /// The client says nothing more, and may still listen.
  private var isHalfClosed = false
  private let onCall: (VarlinkConnection, [UInt8]) -> Void
  private let onClose: (VarlinkConnection) -> Void
  /// Called once when the connection is gone, by whoever streams to it.
  var whenClosed: [() -> Void] = []

  /// - Parameter onCall: must lead to one ``finish(_:)``, now or later.
  init(
    file: Int32, uid: uid_t, loop: EventLoop, onCall: @escaping (VarlinkConnection, [UInt8]) -> Void,
    onClose: @escaping (VarlinkConnection) -> Void
  ) {
    self.file = file
    self.uid = uid
    self.loop = loop
    self.onCall = onCall
    self.onClose = onClose
    token = loop.watch(file) { [weak self] events in self?.ready(events) }
  }

  deinit {
    if let token { loop.remove(token) }
    Descriptor.close(file)
  }

  private func ready(_ events: Int16) {
    if Int32(events) & POLLOUT != 0 { flush() }
    let hasHungUp = Int32(events) & (POLLHUP | POLLERR) != 0
    if Int32(events) & POLLIN != 0 || hasHungUp { receive(hasHungUp: hasHungUp) }
  }

  private func receive(hasHungUp: Bool) {
    var chunk = [UInt8](repeating: 0, count: 16 * 1024)
    let count = recv(file, &chunk, chunk.count, 0)
    if count < 0, errno == EAGAIN || errno == EINTR { return }
    guard count > 0 else {
      guard count == 0, !hasHungUp else { return close() }
      isHalfClosed = true
      return settle()
    }
    do throws(VarlinkFramer.Oversize) { calls += try framer.take(chunk.prefix(count)) } catch { return close() }
    guard calls.count <= Self.maximumCalls else { return close() }
    next()
  }

  private func next() {
    guard !isAnswering, token != nil, !calls.isEmpty else { return }
    isAnswering = true
    onCall(self, calls.removeFirst())
  }

  /// Sends the last reply to the present call and goes on to the next call; nil where the caller wants none.
  func finish(_ reply: (some Encodable)?) {
    if let reply { enqueue(Varlink.frame(reply)) }
    isAnswering = false
    // Not recursive: a client may have many calls waiting.
    if !calls.isEmpty { loop.after(0) { [weak self] in self?.next() } }
    settle()
  }

  /// Waits for what there is to wait for; a client that says nothing more has had all its answers at some time.
  private func settle() {
    guard let token else { return }
    if isHalfClosed, !isAnswering, calls.isEmpty, output.isEmpty { return close() }
    loop.setEvents((isHalfClosed ? 0 : POLLIN) | (output.isEmpty ? 0 : POLLOUT), for: token)
  }

  /// Sends one of several replies.
  func send(_ reply: some Encodable) { enqueue(Varlink.frame(reply)) }

  private func enqueue(_ bytes: [UInt8]) {
    guard token != nil else { return }
    output += bytes
    flush()
    if output.count > Self.maximumBacklog { close() }
  }

  private func flush() {
    while !output.isEmpty {
      let sent = output.withUnsafeBytes { Glibc.send(file, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if sent < 0, errno == EAGAIN || errno == EINTR { break }
      guard sent > 0 else { return close() }
      output.removeFirst(sent)
    }
    settle()
  }

  func close() {
    guard let token else { return }
    loop.remove(token)
    self.token = nil
    calls = []
    output = []
    let handlers = whenClosed
    whenClosed = []
    for handler in handlers { handler() }
    onClose(self)
  }
}
