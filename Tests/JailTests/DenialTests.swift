import Glibc
import Testing

/// How one attempt of the probe ended.
struct Outcome: Sendable, CustomTestStringConvertible {
  var name: String
  /// The call's value, or -errno.
  var result: Int
  var testDescription: String { name }

  static func parse(_ log: [String], _ kind: String) -> [Outcome] {
    log.compactMap { line in
      let words = line.split(separator: " ")
      guard words.count == 3, words[0] == kind, let result = Int(words[2]) else { return nil }
      return Outcome(name: String(words[1]), result: result)
    }
  }
}

/// The log of one probe that tried everything, in a jail and (for comparison) without.
enum Attempts {
  static let jailed: [String] = isRoot ? ((try? JailedProcess(["attempts", "jailed"]))?.readLog() ?? []) : []
  static let free: [String] =
    isRoot ? ((try? JailedProcess(["attempts", "free"], jailed: false))?.readLog() ?? []) : []
}

@Suite("What a jail denies", .enabled(if: isRoot, Comment(rawValue: needsRoot)))
struct DenialTests {
  @Test("denied in the jail with EPERM", arguments: Outcome.parse(Attempts.jailed, "deny"))
  func denied(_ outcome: Outcome) {
    #expect(outcome.result == Int(-EPERM))
  }

  /// The counter-check: without a jail the same attempt succeeds or fails for another reason, so EPERM is the jail's.
  @Test("not EPERM without a jail", arguments: Outcome.parse(Attempts.free, "deny"))
  func deniedByNothingElse(_ outcome: Outcome) {
    #expect(outcome.result != Int(-EPERM))
  }

  @Test("permitted in the jail", arguments: Outcome.parse(Attempts.jailed, "allow"))
  func permitted(_ outcome: Outcome) {
    // Empty eventfds and an empty control socket say EAGAIN; that they were asked is what counts.
    #expect(outcome.result >= 0 || outcome.result == Int(-EAGAIN))
  }

  @Test("the probe got to the end of its list, in the jail and without")
  func complete() {
    #expect(Attempts.jailed.last == "ready")
    #expect(Attempts.free.last == "ready")
  }

  /// The list of issue 2, so that none of them goes missing from the probe.
  @Test(
    "was tried",
    arguments: [
      "open", "openat", "socket-inet", "socket-unix", "ptrace", "ioctl-device-info", "read-device", "write-device",
      "pread-device", "dup-device", "fcntl-dupfd-device", "sendmsg-files", "fork", "vfork", "clone3", "execve",
      "execveat-device", "mount", "map-page-before", "map-page-after", "map-page-inside-range", "map-anonymous-exec",
      "mprotect-exec", "ftruncate-arena", "memfd_create", "io_uring_setup", "bpf", "keyctl", "userfaultfd",
      "process_vm_readv", "kill-other", "prlimit64-write", "setuid", "unshare", "personality", "modify_ldt",
    ])
  func tried(_ name: String) {
    #expect(Outcome.parse(Attempts.jailed, "deny").contains { $0.name == name })
  }

  @Test("a call of another architecture's table kills")
  func otherArchitecture() throws {
    let process = try JailedProcess(["x32"])
    #expect(process.readLog() == [])
    #expect(process.exitStatus & 0x7f == SIGSYS)
  }
}
