import CBulkhead
import Control
import Glibc
import Platform

/// Listens for clients of the service.
final class VarlinkServer {
  static let maximumConnections = 64
  /// Of one user who may not change anything, so that such users cannot keep others out.
  static let maximumOfOneUser = 16

  /// Nil: the socket is somebody else's, and stays.
  private let path: String?
  private let file: Int32
  private let loop: EventLoop
  private var token: EventLoop.Token?
  private var connections: [VarlinkConnection] = []

  /// - Parameters:
  ///   - group: may use the socket beside us; -1: nobody else.
  ///   - activated: a socket that listens already (``SocketActivation``); the path, mode and group are its owner's business.
  /// - Throws: ``Failure`` `service-socket`.
  init(
    path: String, mode: UInt32 = 0o660, group: Int32, activated: Int32? = nil, loop: EventLoop,
    onCall: @escaping (VarlinkConnection, [UInt8]) -> Void
  ) throws(Failure) {
    self.path = activated == nil ? path : nil
    self.loop = loop
    if let activated {
      file = activated
    } else {
      file = try checked(
        bh_unix_listen(path, mode, group), "service-socket", "listen on \(path)",
        hint: "give another path with --socket")
    }
    token = loop.watch(file) { [weak self] _ in self?.accept(onCall) }
  }

  private func accept(_ onCall: @escaping (VarlinkConnection, [UInt8]) -> Void) {
    let connection = bh_unix_accept(file)
    guard connection >= 0 else { return }
    var uid: uid_t = 0
    guard bh_peer_uid(connection, &uid) == 0,
      Self.isWelcome(uid, besides: connections.map(\.uid), owner: geteuid())
    else {
      Descriptor.close(connection)
      return
    }
    connections.append(
      VarlinkConnection(file: connection, uid: uid, loop: loop, onCall: onCall) { [weak self] gone in
        // Its own handler may be running: let it return first.
        self?.loop.after(0) { self?.connections.removeAll { $0 === gone } }
      })
  }

  /// Root and our own user always are: they can do worse than occupy a connection.
  static func isWelcome(_ uid: uid_t, besides present: [uid_t], owner: uid_t) -> Bool {
    if uid == 0 || uid == owner { return true }
    return present.count < maximumConnections && present.count(where: { $0 == uid }) < maximumOfOneUser
  }

  /// Closes everything and removes the socket, if it is ours.
  func close() {
    if let token { loop.remove(token) }
    token = nil
    for connection in connections { connection.close() }
    Descriptor.close(file)
    if let path { FileText.remove(path) }
  }
}
