import CBulkhead
import Glibc
import Platform

/// Namespaces that a process leaves its parent's for (namespaces(7)).
public struct Namespaces: OptionSet, Sendable {
  public let rawValue: UInt
  public init(rawValue: UInt) { self.rawValue = rawValue }

  public static let mount = Namespaces(rawValue: 0x0002_0000)  // CLONE_NEWNS
  public static let cgroup = Namespaces(rawValue: 0x0200_0000)  // CLONE_NEWCGROUP
  public static let uts = Namespaces(rawValue: 0x0400_0000)  // CLONE_NEWUTS
  public static let ipc = Namespaces(rawValue: 0x0800_0000)  // CLONE_NEWIPC
  public static let user = Namespaces(rawValue: 0x1000_0000)  // CLONE_NEWUSER
  public static let network = Namespaces(rawValue: 0x4000_0000)  // CLONE_NEWNET

  /// Everything that a driver gets. The pid namespace is the spawner's business: it takes effect for children only.
  public static let all: Namespaces = [.mount, .cgroup, .uts, .ipc, .user, .network]

  /// The user and group that a process in a user namespace sees itself as.
  public static let innerIdentity: UInt32 = 65534

  /// Enters the namespaces. In a new user namespace only `user` and `group` exist, as ``innerIdentity``.
  ///
  /// The caller must have `user` and `group` as its effective ids already, and /proc mounted.
  /// - Throws: ``Failure`` `jail-namespaces`.
  func enter(user: UInt32, group: UInt32) throws(Failure) {
    let code = ConfinementStep.namespaces.code
    if contains(.user) {
      // A change of user makes a process undumpable, and root the owner of the maps in /proc that are written below.
      // The user is the driver's alone, so nobody can look in through this window, and it is shut again after.
      try checked(bh_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), code, "open the id maps to their writer")
    }
    let result = bh_unshare(rawValue)
    try checked(result, code, "create namespaces", hint: Self.hint(for: -result))
    guard contains(.user) else { return }
    try ProcFile.write("deny", to: "/proc/self/setgroups", code)
    try ProcFile.write("\(Self.innerIdentity) \(user) 1", to: "/proc/self/uid_map", code)
    try ProcFile.write("\(Self.innerIdentity) \(group) 1", to: "/proc/self/gid_map", code)
  }

  /// What an administrator can do about a refusal of unshare(2).
  static func hint(for error: Int32) -> String {
    switch error {
    case ENOSPC:
      "raise the limits of sysctl user.max_user_namespaces, user.max_mnt_namespaces and user.max_net_namespaces"
    case EPERM:
      "start as root; if a sysctl forbids it: kernel.unprivileged_userns_clone=1, "
        + "kernel.apparmor_restrict_unprivileged_userns=0"
    case EINVAL:
      "the kernel needs CONFIG_USER_NS, CONFIG_NET_NS, CONFIG_IPC_NS, CONFIG_UTS_NS and CONFIG_CGROUPS"
    default: ""
    }
  }
}

/// Files of /proc that set a property of the process.
enum ProcFile {
  /// Writes `text` in one call, as these files want it.
  static func write(_ text: String, to path: String, _ code: String) throws(Failure) {
    let file = open(path, O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { throw Failure(code, "open \(path)", errno: errno, hint: "mount /proc") }
    defer { close(file) }
    guard Glibc.write(file, text, text.utf8.count) == text.utf8.count else {
      throw Failure(code, "write \"\(text)\" to \(path)", errno: errno)
    }
  }
}
