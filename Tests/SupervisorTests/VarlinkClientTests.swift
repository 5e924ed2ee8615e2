import CBulkhead
import Control
import Glibc
import Testing

@Suite struct VarlinkClientTests {
  private let folder = TemporaryFolder()
  private var path: String { "\(folder.path)/socket" }

  /// A daemon that hangs: it accepts nothing, or takes the call and says nothing.
  @Test(arguments: [false, true]) func itWaitsNotForEver(_ accepts: Bool) throws {
    let listener = bh_unix_listen(path, 0o600, -1)
    try #require(listener >= 0)
    defer { close(listener) }
    let client = try VarlinkClient(socket: path, timeout: 1)
    let connection = accepts ? bh_unix_accept(listener) : -1
    defer { if connection >= 0 { close(connection) } }
    #expect(throws: VarlinkClient.Problem.timedOut(seconds: 1)) {
      try client.call(.list, Service.ListParameters(all: true), as: Service.DevicesReply.self)
    }
  }

  /// Where it does not even accept for so long that there is no room for another connection.
  @Test func norToConnect() throws {
    let listener = bh_unix_listen(path, 0o600, -1)
    try #require(listener >= 0)
    defer { close(listener) }
    var clients: [VarlinkClient] = []
    #expect(throws: VarlinkClient.Problem.timedOut(seconds: 1)) {
      while clients.count < 10_000 { clients.append(try VarlinkClient(socket: path, timeout: 1)) }
    }
  }

  /// As systemd's socket has it: somebody listened, and has ended without an answer.
  @Test func itsEndIsNoAnswer() throws {
    let listener = bh_unix_listen(path, 0o600, -1)
    try #require(listener >= 0)
    let client = try VarlinkClient(socket: path)
    close(listener)
    #expect(throws: VarlinkClient.Problem.disconnected) {
      try client.call(.list, Service.ListParameters(all: true), as: Service.DevicesReply.self)
    }
    #expect(throws: VarlinkClient.Problem.unreachable(socket: path, errno: ECONNREFUSED)) {
      try VarlinkClient(socket: path)
    }
  }
}
