import CBulkhead
import Glibc
import Platform

/// Landlock: a second lock, independent of mounts and of the seccomp filter, on every path, TCP port and signal.
public enum Landlock {
  /// What the running kernel can deny, by the version of its interface.
  struct Rights: Equatable {
    /// File system accesses: 13 from ABI 1; REFER from 2, TRUNCATE from 3, IOCTL_DEV from 5.
    var files: UInt64
    /// TCP bind and connect, from ABI 4.
    var network: UInt64
    /// Abstract Unix sockets and signals outside the domain, from ABI 6.
    var scopes: UInt64

    init(abi: Int32) {
      files = (1 << 13) - 1
      if abi >= 2 { files |= 1 << 13 }
      if abi >= 3 { files |= 1 << 14 }
      if abi >= 5 { files |= 1 << 15 }
      network = abi >= 4 ? 0b11 : 0
      scopes = abi >= 6 ? 0b11 : 0
    }
  }

  /// Denies everything that the running kernel knows to deny. Files that are open already are not affected.
  /// - Parameter executable: a file that may still be executed; `execveat` opens it anew.
  /// - Returns: false where the kernel has no Landlock, or has it switched off.
  /// - Throws: ``Failure`` `jail-landlock`. Needs no_new_privs.
  @discardableResult
  public static func denyAll(except executable: Int32?) throws(Failure) -> Bool {
    let code = ConfinementStep.landlock.code
    let abi = bh_landlock_abi()
    if abi == -ENOSYS || abi == -EOPNOTSUPP { return false }
    try checked(abi, code, "ask for the Landlock version")
    let rights = Rights(abi: abi)
    var ruleset = bh_landlock_ruleset(
      handled_access_fs: rights.files, handled_access_net: rights.network, scoped: rights.scopes)
    let created = bh_landlock_create(&ruleset, MemoryLayout<bh_landlock_ruleset>.size(forABI: abi))
    let file = Descriptor(owning: try checked(created, code, "create a ruleset"))
    if let executable {
      // EXECUTE and READ_FILE, on this one file.
      var rule = bh_landlock_path_beneath(allowed_access: 1 << 0 | 1 << 2, parent_fd: executable)
      try checked(bh_landlock_allow_beneath(file.number, &rule), code, "except the executable")
    }
    try checked(bh_landlock_restrict_self(file.number), code, "enter the domain")
    return true
  }
}

extension MemoryLayout where T == bh_landlock_ruleset {
  /// An older kernel refuses a longer structure only if the rest is not zero; it is, but say what we mean.
  fileprivate static func size(forABI abi: Int32) -> Int { abi >= 6 ? 24 : abi >= 4 ? 16 : 8 }
}
