import CBulkhead
import Glibc
import Platform

@testable import Supervisor

/// systemd's side of sd_notify(3): a socket, and the files that it is given, each of which it keeps under its name until
/// it is told to forget it (service_notify_message() and service_add_fd_store() in systemd's src/core/service.c).
final class ServiceManager {
  private let folder = TemporaryFolder()
  private let socket: Descriptor
  let path: String
  private var store: [SocketActivation.File] = []
  /// All that it was told, but for what it keeps.
  private(set) var heard: [String] = []

  init() throws {
    let path = "\(folder.path)/notify"
    self.path = path
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let file = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    socket = Descriptor(owning: try checked(file, "rig", "make a socket"))
    try checked(bh_set_nonblocking(socket.number, 1), "rig", "do not wait")
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(file, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard bound == 0 else { throw Failure("rig", "listen on \(path)", errno: errno) }
  }

  deinit { for file in store { close(file.number) } }

  var notification: ServiceNotification { ServiceNotification(socket: path) }

  /// All datagrams that wait, as they are.
  func datagrams() -> [[UInt8]] {
    var all: [[UInt8]] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let got = recv(socket.number, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      guard got >= 0 else { return all }
      all.append(Array(buffer.prefix(got)))
    }
  }

  /// Listens to what was said.
  private func listen() throws {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case .message(let length, let files) = try buffer.withUnsafeMutableBytes({
      try PacketSocket.receive(into: $0, from: socket.number)
    }) {
      take(String(decoding: buffer.prefix(length), as: UTF8.self), files)
    }
  }

  private func take(_ message: String, _ files: [Int32]) {
    let lines = message.split(separator: "\n").map(String.init)
    let name = lines.first { $0.hasPrefix("FDNAME=") }?.dropFirst("FDNAME=".count)
    if lines.contains("FDSTOREREMOVE=1"), let name {
      for file in store where file.name == name { close(file.number) }
      store.removeAll { $0.name == name }
    } else if lines.contains("FDSTORE=1"), lines.contains("FDPOLL=0"), let name, Self.permits(name) {
      store += files.map { SocketActivation.File(name: String(name), number: $0) }
      return
    } else {
      heard.append(message)
    }
    for file in files { close(file) }
  }

  /// fdname_is_valid() in src/basic/fd-util.c.
  private static func permits(_ name: Substring) -> Bool {
    name.utf8.count <= 255 && name.utf8.allSatisfy { $0 >= 32 && $0 < 127 && $0 != UInt8(ascii: ":") }
  }

  /// What it keeps.
  func names() throws -> [String] {
    try listen()
    return store.map(\.name).sorted()
  }

  /// What it hands to the next process: copies of all.
  func handOver() throws -> [SocketActivation.File] {
    try listen()
    return store.map { SocketActivation.File(name: $0.name, number: fcntl($0.number, F_DUPFD_CLOEXEC, 3)) }
  }
}
