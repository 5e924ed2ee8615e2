import CBulkhead
import Glibc

/// Files that systemd hands over at the start: sockets that it listens on for us, and files that it has kept for us
/// (sd_listen_fds(3)).
enum SocketActivation {
  /// An open file and its name (`FileDescriptorName=` of a socket unit, or `FDNAME=`).
  struct File: Equatable {
    var name: String
    var number: Int32
  }

  /// The number of the first file that systemd hands over.
  static let firstFile: Int32 = 3

  /// All of them, made to close on exec and not to block; empty where systemd has none for us. They are the caller's: to
  /// be asked for once.
  static func take() -> [File] {
    func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    let files = files(
      process: getpid(), listenPID: variable("LISTEN_PID"), count: variable("LISTEN_FDS"),
      names: variable("LISTEN_FDNAMES"))
    return files.filter { file in
      let flags = fcntl(file.number, F_GETFL)
      return flags >= 0 && fcntl(file.number, F_SETFD, FD_CLOEXEC) == 0
        && fcntl(file.number, F_SETFL, flags | O_NONBLOCK) == 0
    }
  }

  /// Accepts every connection that waits on a listening socket, to be closed: whoever ends without having answered them
  /// would be started for the same ones again, and again.
  /// - Returns: the connections; they are the caller's. At most as many as may wait: somebody may be faster than we are.
  static func acceptWaiting(on file: Int32) -> [Int32] {
    var connections: [Int32] = []
    while connections.count < Int(SOMAXCONN) {
      let connection = bh_unix_accept(file)
      guard connection >= 0 else { break }
      connections.append(connection)
    }
    return connections
  }

  /// As the environment tells; what is meant for another process, or is not what systemd writes, counts for nothing.
  static func files(process: pid_t, listenPID: String?, count: String?, names: String?) -> [File] {
    guard listenPID == "\(process)", let count = count.flatMap({ Int32($0) }), count > 0, let names else { return [] }
    let all = names.split(separator: ":", omittingEmptySubsequences: false)
    return zip(all, 0..<count).map { File(name: String($0), number: firstFile + $1) }
  }
}
