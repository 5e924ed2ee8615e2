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
///
/// Without root (``init(unprivileged:)``) the same steps are made in a user namespace of the process's own. These parts
/// are weaker then:
/// - user and group stay the caller's: towards other processes of that user only the namespaces, Landlock and seccomp
///   stand between, not the kernel's comparison of users, and the user can trace the process from outside;
/// - supplementary groups stay, which an empty root leaves without use;
/// - a limit that is lower already cannot be raised, and the limit of processes counts the user's others, too;
/// - the confinement depends on unprivileged user namespaces, which some systems forbid; it fails there.
///
/// What holds as before: the empty root, no capability, no path, no network, only the files that are open, the same
/// system calls.
public struct Confinement: Sendable {
  /// The user and group to become, in the caller's user namespace. Unique to the process. Nil: stays what it is.
  public var identity: (user: UInt32, group: UInt32)?
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
    precondition(user != 0 && group != 0, "root is not confined")
    identity = (user, group)
    self.policy = policy
  }

  /// For a caller who is not root: in a user namespace of its own.
  public init(unprivileged policy: SeccompPolicy) { self.policy = policy }

  /// Confines the calling process. There is no way back, and after a failure none forward: the caller must exit.
  /// - Throws: ``Failure`` with the code of a ``ConfinementStep``.
  public func enter() throws(Failure) {
    precondition(namespaces.contains(.mount), "an empty root needs a mount namespace")
    precondition(identity != nil || namespaces.contains(.user), "without root the rest needs a user namespace")
    try limits.apply(canRaise: identity != nil)
    if let identity { try Privileges.become(user: identity.user, group: identity.group) }
    try namespaces.enter(user: identity?.user ?? getuid(), group: identity?.group ?? getgid())
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
