import CBulkhead
import Glibc
import Platform

/// A TCP socket that does not wait, made in the thread's namespace.
public final class Stream {
  private let descriptor: Descriptor
  public var file: Int32 { descriptor.number }

  private init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

  private static func make() throws -> Stream {
    let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard file >= 0 else { throw Failure("rig", "make a TCP socket", errno: errno) }
    let descriptor = Descriptor(owning: file)
    try checked(bh_set_cloexec(file, 1), "rig", "make a TCP socket close-on-exec")
    try checked(bh_set_nonblocking(file, 1), "rig", "make a TCP socket non-blocking")
    return Stream(owning: descriptor)
  }

  /// - Parameter address: an IPv4 address as a number, most significant byte first; 0 for any.
  private static func withAddress(
    _ address: UInt32, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = port.bigEndian
    target.sin_addr.s_addr = address.bigEndian
    return withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
  }

  public static func listening(port: UInt16) throws -> Stream {
    let stream = try make()
    guard withAddress(0, port, { bind(stream.file, $0, $1) }) == 0, listen(stream.file, 1) == 0 else {
      throw Failure("rig", "listen", errno: errno)
    }
    return stream
  }

  public static func connecting(to address: UInt32, port: UInt16) throws -> Stream {
    let stream = try make()
    guard withAddress(address, port, { connect(stream.file, $0, $1) }) == 0 || errno == EINPROGRESS else {
      throw Failure("rig", "connect", errno: errno)
    }
    return stream
  }

  /// The next connection, or `nil` if there is none now.
  public func accepted() -> Stream? {
    let file = bh_accept(descriptor.number)
    return file < 0 ? nil : Stream(owning: Descriptor(owning: file))
  }

  /// How many bytes were taken; 0 for none now.
  public func send(_ bytes: ArraySlice<UInt8>) throws -> Int {
    let sent = bytes.withUnsafeBytes { Glibc.send(descriptor.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    if sent >= 0 { return sent }
    // Not connected yet is ENOTCONN or, on some kernels, EAGAIN.
    guard [EAGAIN, ENOTCONN, EINTR].contains(errno) else { throw Failure("rig", "send", errno: errno) }
    return 0
  }

  public func finish() { shutdown(descriptor.number, Int32(SHUT_WR)) }

  /// What has come; empty at the end, `nil` for nothing now.
  public func receive() throws -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 64 * 1024)
    let got = recv(descriptor.number, &bytes, bytes.count, 0)
    if got >= 0 { return Array(bytes[..<got]) }
    guard [EAGAIN, EINTR].contains(errno) else { throw Failure("rig", "receive", errno: errno) }
    return nil
  }
}
