import CSeccomp
import Glibc
import Platform

extension SeccompPolicy {
  /// Compiles the policy and puts it on the calling thread, for good. Needs no_new_privs or CAP_SYS_ADMIN.
  /// - Throws: ``Failure`` `jail-seccomp` when a call is unknown, a rule cannot be expressed, or the kernel refuses.
  public func install() throws(Failure) {
    let filter = try compile()
    defer { seccomp_release(filter) }
    try checked(
      seccomp_load(filter), ConfinementStep.seccomp.code, "load the seccomp filter of the \(title)",
      hint: "the kernel needs CONFIG_SECCOMP_FILTER")
  }

  /// - Returns: a libseccomp context that the caller releases.
  func compile() throws(Failure) -> scmp_filter_ctx {
    let code = ConfinementStep.seccomp.code
    let refuse = UInt32(0x0005_0000) | UInt32(EPERM)  // SCMP_ACT_ERRNO(EPERM)
    guard let filter = seccomp_init(refuse) else { throw Failure(code, "create a seccomp filter", errno: ENOMEM) }
    do throws(Failure) {
      try checked(
        seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, 0x8000_0000 /* SCMP_ACT_KILL_PROCESS */), code,
        "set the fate of calls of other architectures")
      var priority: UInt8 = 255
      var prioritized: Set<String> = []
      for rule in rules {
        let number = seccomp_syscall_resolve_name(rule.call)
        guard number != -1 else { throw Failure(code, "find the system call \(rule.call)", errno: ENOSYS) }
        if prioritized.insert(rule.call).inserted {
          try checked(seccomp_syscall_priority(filter, number, priority), code, "order \(rule.call)")
          if priority > 0 { priority -= 1 }
        }
        let comparisons = rule.conditions.map(\.comparisonForLibrary)
        try checked(
          seccomp_rule_add_array(
            filter, 0x7fff_0000 /* SCMP_ACT_ALLOW */, number, UInt32(comparisons.count), comparisons),
          code, "allow \(rule.call) with \(comparisons.count) conditions")
      }
      return filter
    } catch {
      seccomp_release(filter)
      throw error
    }
  }
}

extension ArgumentCondition {
  fileprivate var comparisonForLibrary: scmp_arg_cmp {
    switch comparison {
    case .equal(let value): scmp_arg_cmp(arg: argument, op: SCMP_CMP_EQ, datum_a: value, datum_b: 0)
    case .atMost(let value): scmp_arg_cmp(arg: argument, op: SCMP_CMP_LE, datum_a: value, datum_b: 0)
    case .masked(let mask, let value):
      scmp_arg_cmp(arg: argument, op: SCMP_CMP_MASKED_EQ, datum_a: mask, datum_b: value)
    }
  }
}
