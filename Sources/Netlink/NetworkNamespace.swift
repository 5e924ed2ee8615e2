import CBulkhead
import Glibc
import Platform

/// A network namespace (network_namespaces(7)), held open.
///
/// A namespace belongs to a thread, and a socket to the namespace in which it was made. So what is made in
/// ``perform(_:)`` works there for ever, from any thread.
public final class NetworkNamespace: Sendable {
  private let descriptor: Descriptor

  /// - Parameter path: `/run/netns/NAME` or `/proc/PID/ns/net`.
  /// - Throws: `network-namespace`.
  public init(path: String) throws(Failure) {
    descriptor = Descriptor(
      owning: try checked(
        bh_open_readonly(path), "network-namespace", "open the network namespace \(path)",
        hint: "ip netns list shows those that have a name"))
  }

  /// From a file that stands for one.
  public init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

  /// One that was made with `ip netns add`.
  /// - Throws: `network-namespace`.
  public convenience init(named name: String) throws(Failure) {
    guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 })
    else { throw Failure("network-namespace", "'\(name)' is not the name of a network namespace") }
    try self.init(path: "/run/netns/\(name)")
  }

  /// The calling thread's.
  /// - Throws: `network-namespace`.
  public static func current() throws(Failure) -> NetworkNamespace {
    NetworkNamespace(
      owning: Descriptor(
        owning: try checked(bh_network_namespace(), "network-namespace", "open this thread's network namespace")))
  }

  /// A new one, which goes when the last file, socket and interface of it has gone. Needs CAP_SYS_ADMIN.
  /// - Throws: `network-namespace`.
  public static func make() throws(Failure) -> NetworkNamespace {
    let old = try current()
    try checked(
      bh_new_network_namespace(), "network-namespace", "make a network namespace", hint: "needs CAP_SYS_ADMIN")
    defer { old.mustEnter() }
    return try current()
  }

  /// To be given to the kernel or to another process; open as long as this value lives.
  public var file: Int32 { descriptor.number }

  /// Which namespace it is: two values of the same one have the same identity (ioctl_ns(2)).
  public struct Identity: Hashable, Sendable, CustomStringConvertible {
    private let device: dev_t
    private let inode: ino_t

    fileprivate init(_ file: Int32) throws(Failure) {
      var found = stat()
      guard fstat(file, &found) == 0 else {
        throw Failure("network-namespace", "ask which network namespace it is", errno: errno)
      }
      (device, inode) = (found.st_dev, found.st_ino)
    }

    /// `net:[4026531840]`, as in /proc/PID/ns and in lsns(8).
    public var description: String { "net:[\(inode)]" }
  }

  /// - Throws: `network-namespace`.
  public func identity() throws(Failure) -> Identity { try Identity(file) }

  /// Runs `body` in the namespace. It must not leave the thread.
  /// - Throws: `network-namespace`, and what `body` throws.
  public func perform<Result: ~Copyable>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    let old = try NetworkNamespace.current()
    try checked(
      bh_enter_network_namespace(file), "network-namespace", "enter a network namespace", hint: "needs CAP_SYS_ADMIN")
    defer { old.mustEnter() }
    return try body()
  }

  /// A thread that stays in the wrong namespace does harm with each further call.
  private func mustEnter() {
    let result = bh_enter_network_namespace(file)
    precondition(result == 0, "cannot return to the network namespace of this thread")
  }
}

/// Runs `body` in `namespace`, or just here if there is none.
func inNamespace<Result: ~Copyable>(
  _ namespace: NetworkNamespace?, _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
  guard let namespace else { return try body() }
  return try namespace.perform(body)
}
