import CBulkhead
import Glibc
import Platform

/// Stream sockets with a name in the file system.
public enum UnixSocket {
  /// Connects to a listening socket.
  /// - Throws: ``Failure`` `socket-connect`; ENOENT or ECONNREFUSED where nobody listens.
  public static func connect(to path: String) throws(Failure) -> Descriptor {
    try open(path) { file, address, length in Glibc.connect(file, address, length) }
  }

  /// Listens at a path that does not exist yet.
  /// - Throws: ``Failure`` `socket-connect`.
  public static func listen(at path: String) throws(Failure) -> Descriptor {
    try open(path) { file, address, length in
      let status = Glibc.bind(file, address, length)
      return status < 0 ? status : Glibc.listen(file, 64)
    }
  }

  private static func open(
    _ path: String, _ use: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws(Failure) -> Descriptor {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw Failure("socket-connect", "use \(path)", errno: ENAMETOOLONG)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let file = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let descriptor = Descriptor(owning: try checked(file < 0 ? -errno : file, "socket-connect", "make a socket"))
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        use(descriptor.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try checked(status < 0 ? -errno : 0, "socket-connect", "use \(path)")
    return descriptor
  }
}

/// Waits for one file.
/// - Parameter until: monotonic nanoseconds.
/// - Returns: whether it became ready in time.
func wait(for events: Int32, on file: Int32, until: Nanoseconds) -> Bool {
  while true {
    let left = until - bh_monotonic_ns()
    guard left > 0 else { return false }
    var entry = pollfd(fd: file, events: Int16(events), revents: 0)
    if bh_ppoll(&entry, 1, left) > 0 { return true }
  }
}
