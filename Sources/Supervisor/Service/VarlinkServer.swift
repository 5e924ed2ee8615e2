import CBulkhead
import Control
import Glibc
import Platform

/// Listens for clients of the service.
final class VarlinkServer {
  static let maximumConnections = 64

  private let path: String
  private let file: Int32
  private let loop: EventLoop
  private var token: EventLoop.Token?
  private var connections: [VarlinkConnection] = []

  /// - Parameter group: may use the socket beside us; -1: nobody else.
  /// - Throws: ``Failure`` `service-socket`.
  init(
    path: String, mode: UInt32 = 0o660, group: Int32, loop: EventLoop,
    onCall: @escaping (VarlinkConnection, [UInt8]) -> Void
  ) throws(Failure) {
    self.path = path
    self.loop = loop
    file = try checked(
      bh_unix_listen(path, mode, group), "service-socket", "listen on \(path)",
      hint: "give another path with --socket")
    token = loop.watch(file) { [weak self] _ in self?.accept(onCall) }
  }

  private func accept(_ onCall: @escaping (VarlinkConnection, [UInt8]) -> Void) {
    let connection = bh_unix_accept(file)
    guard connection >= 0 else { return }
    var uid: uid_t = 0
    guard bh_peer_uid(connection, &uid) == 0, connections.count < Self.maximumConnections else {
      Descriptor.close(connection)
      return
    }
    connections.append(
      VarlinkConnection(file: connection, uid: uid, loop: loop, onCall: onCall) { [weak self] gone in
        // Its own handler may be running: let it return first.
        self?.loop.after(0) { self?.connections.removeAll { $0 === gone } }
      })
  }

  /// Closes everything and removes the socket.
  func close() {
    if let token { loop.remove(token) }
    token = nil
    for connection in connections { connection.close() }
    Descriptor.close(file)
    FileText.remove(path)
  }
}
