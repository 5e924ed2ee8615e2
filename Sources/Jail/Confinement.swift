import CBulkhead
import Glibc
import Platform

/// Everything that a process gives up, in one irrevocable step: identity, namespaces, root, paths, capabilities, and
/// in the end most system calls.
///
/// `bulkhead-jail` confines drivers with it before exec; a broker confines itself after set-up:
///
///     var confinement = Confinement(user: uid, group: gid, policy: .broker)
///     confinement.namespaces = [.mount, .ipc, .uts, .network]
///     try confinement.enter()
///
/// The process must have one thread and start as root. Files that are open stay open, sockets and devices among them
/// keep working; open what is needed before.
public struct Confinement: Sendable {
  /// The user and group to become, in the caller's user namespace. Unique to the process.
  public var user: UInt32
  public var group: UInt32
  /// Must contain `.mount`, for the empty root.
  public var namespaces: Namespaces = .all
  /// Host name in a UTS namespace of its own, so that the machine's is not seen.
  public var hostname = "bulkhead"
  /// Applied first, while limits can still be raised.
  public var limits = ResourceLimits()
  /// A file that may still be executed afterwards.
  public var executable: Int32?
  /// The system calls that are left.
  public var policy: SeccompPolicy

  public init(user: UInt32, group: UInt32, policy: SeccompPolicy) {
    self.user = user
    self.group = group
    self.policy = policy
  }

  /// Confines the calling process. There is no way back, and after a failure none forward: the caller must exit.
  /// - Throws: ``Failure`` with the code of a ``ConfinementStep``.
  public func enter() throws(Failure) {
    precondition(namespaces.contains(.mount), "an empty root needs a mount namespace")
    precondition(user != 0 && group != 0, "root is not confined")
    try limits.apply()
    try Privileges.become(user: user, group: group)
    try namespaces.enter(user: user, group: group)
    if namespaces.contains(.uts) {
      try checked(
        bh_set_hostname(hostname, hostname.utf8.count), ConfinementStep.namespaces.code, "set the host name")
    }
    try EmptyRoot.enter()
    try Privileges.dropAll()
    try Landlock.denyAll(except: executable)
    try policy.install()
  }
}
