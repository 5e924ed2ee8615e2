import CBulkhead
import Glibc
import Platform

/// Giving up what root can do, in two steps around the creation of namespaces.
enum Privileges {
  /// CAP_SETPCAP (8) and CAP_SYS_ADMIN (21): what the steps after the change of user still need.
  static let neededForConfinement: UInt64 = 1 << 8 | 1 << 21

  /// Becomes `user` and `group`, without supplementary groups, with two capabilities left.
  /// - Throws: ``Failure`` `jail-identity`.
  static func become(user: UInt32, group: UInt32) throws(Failure) {
    let code = ConfinementStep.identity.code
    let hint = "start as root"
    // The kernel forgets it with the change of user.
    let (deathSignal, parent) = (bh_death_signal(), getppid())
    try checked(bh_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), code, "keep capabilities over the change of user")
    try checked(bh_clear_groups(), code, "drop supplementary groups", hint: hint)
    try checked(bh_set_gid(group), code, "become group \(group)", hint: hint)
    try checked(bh_set_uid(user), code, "become user \(user)", hint: hint)
    try checked(bh_set_capabilities(neededForConfinement), code, "keep CAP_SETPCAP and CAP_SYS_ADMIN", hint: hint)
    guard deathSignal > 0 else { return }
    try checked(bh_prctl(PR_SET_PDEATHSIG, UInt(deathSignal), 0, 0, 0), code, "end with the parent")
    guard getppid() == parent else { throw Failure(code, "end with the parent: it has ended") }
  }

  /// Gives up every capability and every way to get one back.
  /// - Throws: ``Failure`` `jail-privileges`.
  static func dropAll() throws(Failure) {
    let code = ConfinementStep.privileges.code
    try checked(bh_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), code, "set no_new_privs")
    try checked(bh_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0), code, "clear ambient capabilities")
    var capability: UInt = 0
    while true {
      let result = bh_prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
      if result == -EINVAL { break }  // one above the kernel's last
      try checked(result, code, "drop capability \(capability) from the bounding set")
      capability += 1
    }
    // NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each locked, and KEEP_CAPS locked off: uid 0 means nothing here.
    try checked(bh_prctl(PR_SET_SECUREBITS, 0b1110_1111, 0, 0, 0), code, "lock securebits")
    try checked(bh_set_capabilities(0), code, "drop capabilities")
    try checked(bh_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), code, "become undumpable")
  }
}
