import CBulkhead
import CSeccomp
import Glibc
import Platform

/// A policy as the classic BPF program that the kernel runs at each system call (Linux,
/// Documentation/userspace-api/seccomp_filter.rst).
///
/// libseccomp only looks up numbers here. Its 2.5.4 compiles two rules with different upper bounds on one argument into
/// a filter that allows the larger bound for both (JailTests, "map-second-range-too-long"): it merges rules into a tree.
/// This compiler merges nothing: the program is the table, rule by rule.
struct SeccompFilter {
  private(set) var instructions: [bh_filter_instruction] = []

  /// - Throws: ``Failure`` `jail-seccomp` for a call that does not exist, or a program longer than the kernel takes.
  init(_ policy: SeccompPolicy) throws(Failure) {
    load(offset: 4)  // seccomp_data.arch
    jump(.equal, Self.architecture, ifTrue: 1, ifFalse: 0)
    finish(.kill)
    load(offset: 0)  // seccomp_data.nr
    jump(.atLeast, 0x4000_0000, ifTrue: 0, ifFalse: 1)  // __X32_SYSCALL_BIT
    finish(.kill)
    var done: Set<String> = []
    for rule in policy.rules where done.insert(rule.call).inserted {
      guard let number = try Self.number(of: rule.call) else { continue }
      jump(.equal, number, ifTrue: 1, ifFalse: 0)
      let toNext = instructions.count
      emit(Code.always, 0)
      for alternative in policy.rules where alternative.call == rule.call { allow(alternative) }
      finish(.refuse)
      instructions[toNext].value = UInt32(instructions.count - toNext - 1)
    }
    finish(.refuse)
    guard instructions.count <= 4096 else {
      throw Failure(ConfinementStep.seccomp.code, "fit the filter into 4096 instructions", errno: E2BIG)
    }
  }

  /// The number of a call; `nil` for one that only other architectures have.
  private static func number(of call: String) throws(Failure) -> UInt32? {
    let number = seccomp_syscall_resolve_name(call)
    guard number != -1 else {
      throw Failure(ConfinementStep.seccomp.code, "find the system call \(call)", errno: ENOSYS)
    }
    return number >= 0 ? UInt32(number) : nil
  }

  /// One rule: each condition that does not hold jumps behind the rule.
  private mutating func allow(_ rule: SeccompRule) {
    let start = instructions.count
    for condition in rule.conditions { check(condition) }
    finish(.allow)
    let end = instructions.count
    precondition(end - start < 256, "a rule is too long for its jumps")
    for index in start..<end {
      let behind = UInt8(end - index - 1)
      if instructions[index].jump_true == Self.fail { instructions[index].jump_true = behind }
      if instructions[index].jump_false == Self.fail { instructions[index].jump_false = behind }
    }
  }

  /// The virtual machine has 32-bit registers: an argument is compared half by half.
  private mutating func check(_ condition: ArgumentCondition) {
    let low = 16 + 8 * condition.argument  // seccomp_data.args, little endian
    let high = low + 4
    switch condition.comparison {
    case .equal(let value):
      checkMasked(low: low, mask: .max, value: value)
    case .masked(let mask, let value):
      precondition(value & ~mask == 0, "a condition that cannot hold")
      checkMasked(low: low, mask: mask, value: value)
    case .atMost(let value):
      load(offset: high)
      jump(.greater, UInt32(value >> 32), ifTrue: Self.fail, ifFalse: 0)
      jump(.equal, UInt32(value >> 32), ifTrue: 0, ifFalse: 2)  // less: the lower half does not matter
      load(offset: low)
      jump(.greater, UInt32(truncatingIfNeeded: value), ifTrue: Self.fail, ifFalse: 0)
    }
  }

  private mutating func checkMasked(low: UInt32, mask: UInt64, value: UInt64) {
    for (offset, shift) in [(low + 4, 32), (low, 0)] as [(UInt32, UInt64)] {
      let part = UInt32(truncatingIfNeeded: mask >> shift)
      if part == 0 { continue }
      load(offset: offset)
      if part != .max { emit(Code.and, part) }
      jump(.equal, UInt32(truncatingIfNeeded: value >> shift), ifTrue: 0, ifFalse: Self.fail)
    }
  }

  // MARK: Instructions

  /// Stands for "behind the rule" until its end is known. No other jump is that long.
  private static let fail: UInt8 = 255

  /// Operation codes of <linux/bpf_common.h>.
  private enum Code {
    static let load: UInt16 = 0x20  // BPF_LD | BPF_W | BPF_ABS
    static let and: UInt16 = 0x54  // BPF_ALU | BPF_AND | BPF_K
    static let always: UInt16 = 0x05  // BPF_JMP | BPF_JA
    static let finish: UInt16 = 0x06  // BPF_RET | BPF_K
  }

  /// Conditional jumps, BPF_JMP | ... | BPF_K.
  private enum Jump: UInt16 {
    case equal = 0x15
    case greater = 0x25
    case atLeast = 0x35
  }

  /// Results of <linux/seccomp.h>.
  private enum Action: UInt32 {
    case allow = 0x7fff_0000
    /// SECCOMP_RET_ERRNO with EPERM.
    case refuse = 0x0005_0001
    case kill = 0x8000_0000
  }

  /// AUDIT_ARCH_* of <linux/audit.h>.
  private static var architecture: UInt32 {
    #if arch(x86_64)
      0xc000_003e
    #elseif arch(arm64)
      0xc000_00b7
    #endif
  }

  private mutating func emit(_ code: UInt16, _ value: UInt32, _ ifTrue: UInt8 = 0, _ ifFalse: UInt8 = 0) {
    instructions.append(bh_filter_instruction(code: code, jump_true: ifTrue, jump_false: ifFalse, value: value))
  }
  private mutating func load(offset: UInt32) { emit(Code.load, offset) }
  private mutating func finish(_ action: Action) { emit(Code.finish, action.rawValue) }
  private mutating func jump(_ jump: Jump, _ value: UInt32, ifTrue: UInt8, ifFalse: UInt8) {
    emit(jump.rawValue, value, ifTrue, ifFalse)
  }
}

extension SeccompPolicy {
  /// Compiles the policy and puts it on the calling thread, for good. Needs no_new_privs or CAP_SYS_ADMIN.
  /// - Throws: ``Failure`` `jail-seccomp` when a call is unknown or the kernel refuses.
  public func install() throws(Failure) {
    let filter = try SeccompFilter(self)
    try checked(
      bh_install_filter(filter.instructions, UInt16(filter.instructions.count)), ConfinementStep.seccomp.code,
      "load the seccomp filter of the \(title)", hint: "the kernel needs CONFIG_SECCOMP_FILTER")
  }
}
