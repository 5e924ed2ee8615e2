import CBulkhead
import Glibc
import Platform

/// A root directory with nothing in it, read-only.
enum EmptyRoot {
  /// Makes it the root and the working directory of this process. Needs a mount namespace of its own and
  /// CAP_SYS_ADMIN there. After it no path leads anywhere; files that are open stay so.
  /// - Throws: ``Failure`` `jail-root`.
  static func enter() throws(Failure) {
    let code = ConfinementStep.root.code
    try checked(bh_make_mounts_private(), code, "detach mount propagation")
    // /proc is there on every system that gets this far; what is mounted over it disappears with the old root.
    try checked(bh_mount_empty("/proc"), code, "mount the empty root", hint: "the kernel needs CONFIG_TMPFS")
    try checked(bh_chdir("/proc"), code, "enter the empty root")
    try checked(
      bh_pivot_root_here(), code, "change the root directory",
      hint: "the root file system must not be the initramfs; switch_root first")
    try checked(bh_detach_here(), code, "detach the old root")
    try checked(bh_chdir("/"), code, "enter the empty root")
  }
}
