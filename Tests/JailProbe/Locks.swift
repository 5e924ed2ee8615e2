import CBulkhead
import Glibc
import Jail
import Platform

/// The locks behind the seccomp filter, tried under a policy that permits the calls they guard: the process confines
/// itself as a broker does.
enum Locks {
  static let policy = SeccompPolicy(
    title: "probe",
    rules: ["open", "mkdir", "mount", "setuid", "socket", "bind", "unshare", "write", "ppoll", "exit_group"].map {
      SeccompRule($0, because: "another lock is to refuse it")
    })

  static func tryAll() {
    let user: UInt32 = 3_000_000_018
    var confinement = Confinement(user: user, group: user, policy: policy)
    confinement.namespaces = [.mount, .ipc, .uts, .network]
    do throws(Failure) { try confinement.enter() } catch { return say("failed \(error.line)") }
    // Root directory, read-only root, capabilities, Landlock on TCP ports (AF_INET, port 0x1234).
    say("lock open-root \(Attempt("", 2, Attempt.root).result())")
    say("lock open-passwd \(Attempt("", 2, Attempt.text("/etc/passwd")).result())")
    say("lock mkdir \(Attempt("", 83, Attempt.text("/x")).result())")
    say("lock mount \(Attempt("", 165, Attempt.text("x"), Attempt.root, Attempt.text("tmpfs")).result())")
    say("lock setuid \(Attempt("", 105, 0).result())")
    say("lock unshare \(Attempt("", 272, 0x0002_0000).result())")
    let socket = Attempt("", 41, 2, 1).result()
    let address = UnsafeMutablePointer<UInt64>.allocate(capacity: 2)
    address[0] = 2 | 0x3412 << 16
    address[1] = 0
    say("lock bind \(Attempt("", 49, UInt(bitPattern: socket), UInt(bitPattern: address), 16).result())")
    say("lock ioctl \(Attempt("", 16, 2, 0x5401).result())")
  }
}
