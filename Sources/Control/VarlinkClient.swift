import Glibc

/// One connection to the daemon that waits for its answers.
public final class VarlinkClient {
  /// The most bytes that the path of a socket has (unix(7)).
  public static let longestPath = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

  private let file: Int32
  private let timeout: Int?
  private var framer = VarlinkFramer(limit: Varlink.maximumReply)
  private var received: [[UInt8]] = []

  /// Why there is no answer.
  public enum Problem: Error, Sendable, Equatable {
    /// Nobody listens, or the socket may not be opened.
    case unreachable(socket: String, errno: Int32)
    /// The daemon closed the connection, or it broke.
    case disconnected
    /// The daemon is there, and said nothing for so many seconds.
    case timedOut(seconds: Int)
    /// What came back is not varlink, or not this interface.
    case unintelligible(String)
    /// An error of `io.bulkhead`.
    case service(ServiceError)
    /// Another error, such as `org.varlink.service.MethodNotFound`.
    case other(String)
  }

  /// - Parameter timeout: the seconds that it may take to connect, and to send or receive anything; nil: for ever.
  /// - Throws: ``Problem/unreachable(socket:errno:)``, ``Problem/timedOut(seconds:)``
  public init(socket path: String, timeout: Int? = nil) throws(Problem) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count <= Self.longestPath else { throw .unreachable(socket: path, errno: ENAMETOOLONG) }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let file = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard file >= 0 else { throw .unreachable(socket: path, errno: errno) }
    if let timeout {
      var time = timeval(tv_sec: timeout, tv_usec: 0)
      let size = socklen_t(MemoryLayout<timeval>.size)
      // The first one is for connect too, which waits where nobody accepts and the queue is full (socket(7)).
      for option in [SO_SNDTIMEO, SO_RCVTIMEO] { setsockopt(file, SOL_SOCKET, option, &time, size) }
    }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(file, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard connected == 0 else {
      let error = errno
      close(file)
      if error == EAGAIN, let timeout { throw .timedOut(seconds: timeout) }
      throw .unreachable(socket: path, errno: error)
    }
    self.file = file
    self.timeout = timeout
  }

  deinit { close(file) }

  /// Calls a method and waits for its one reply.
  public func call<Parameters: Codable & Sendable, Value: Decodable>(
    _ method: Service.Method, _ parameters: Parameters, as type: Value.Type = Value.self
  ) throws(Problem) -> Value {
    try send(Varlink.Call(method: method.qualifiedName, parameters: parameters))
    return try next(as: type).value
  }

  /// Calls a method that streams replies, until the stream ends or `handler` returns false.
  public func stream<Value: Decodable>(
    _ method: Service.Method, as type: Value.Type, handler: (Value) -> Bool
  ) throws(Problem) {
    try send(Varlink.Call(method: method.qualifiedName, parameters: Service.NoParameters(), more: true))
    while true {
      let reply = try next(as: type)
      guard handler(reply.value), reply.continues else { return }
    }
  }

  private func send(_ call: some Encodable) throws(Problem) {
    var rest = Varlink.frame(call)[...]
    while !rest.isEmpty {
      let sent = rest.withUnsafeBytes { Glibc.send(file, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if sent < 0, errno == EINTR { continue }
      guard sent > 0 else { throw absence(sent) }
      rest = rest.dropFirst(sent)
    }
  }

  /// Why nothing was sent or received.
  private func absence(_ count: Int) -> Problem {
    if count < 0, errno == EAGAIN, let timeout { return .timedOut(seconds: timeout) }
    return .disconnected
  }

  private func next<Value: Decodable>(as type: Value.Type) throws(Problem) -> (value: Value, continues: Bool) {
    let message = try nextMessage()
    do {
      let head = try JSON.decode(Varlink.ReplyHead.self, from: message)
      if let error = head.error { throw VarlinkClient.problem(error, message) }
      guard let value = try JSON.decode(Varlink.Parameters<Value>.self, from: message).parameters else {
        throw Problem.unintelligible("a reply without parameters")
      }
      return (value, head.continues ?? false)
    } catch let problem as Problem { throw problem } catch { throw .unintelligible("\(error)") }
  }

  private static func problem(_ error: String, _ message: [UInt8]) -> Problem {
    guard let name = ServiceError.Name.allCases.first(where: { $0.qualifiedName == error }),
      let body = try? JSON.decode(Varlink.Parameters<ServiceError.Parameters>.self, from: message),
      let parameters = body.parameters
    else { return .other(error) }
    return .service(ServiceError(name, parameters))
  }

  private func nextMessage() throws(Problem) -> [UInt8] {
    while received.isEmpty {
      var chunk = [UInt8](repeating: 0, count: 16 * 1024)
      let count = recv(file, &chunk, chunk.count, 0)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw absence(count) }
      do throws(VarlinkFramer.Oversize) { received = try framer.take(chunk.prefix(count)) } catch {
        throw .unintelligible("a reply of more than \(Varlink.maximumReply) bytes")
      }
    }
    return received.removeFirst()
  }
}
