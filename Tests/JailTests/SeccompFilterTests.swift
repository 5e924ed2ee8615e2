import CBulkhead
import CSeccomp
import Glibc
import Platform
import Protocol
import Testing

@testable import Jail

/// Runs the compiled program as the kernel would, against the policy read as plain logic.
@Suite("The compiled filter")
struct SeccompFilterTests {
  static let allow: UInt32 = 0x7fff_0000
  static let refuse: UInt32 = 0x0005_0000 | UInt32(EPERM)
  static let kill: UInt32 = 0x8000_0000

  static let ranges = [
    BarRange(bar: 0, offset: 0, length: 0x2000, fileOffset: 0x2000),
    BarRange(bar: 0, offset: 0, length: 0x1000, fileOffset: 0x8000),
    BarRange(bar: 2, offset: 0, length: 0x3_0000_1000, fileOffset: 2 << 40),
  ]

  /// A classic BPF machine for the instructions that a filter has; an unknown one is an error.
  static func run(_ program: [bh_filter_instruction], number: UInt32, arguments: [UInt64], arch: UInt32 = 0xc000_003e)
    -> UInt32?
  {
    var data: [UInt32] = [number, arch, 0, 0]
    for argument in arguments { data += [UInt32(truncatingIfNeeded: argument), UInt32(argument >> 32)] }
    var accumulator: UInt32 = 0
    var index = 0
    while index < program.count {
      let instruction = program[index]
      index += 1
      let taken: Bool
      switch instruction.code {
      case 0x20:
        accumulator = data[Int(instruction.value / 4)]
        continue
      case 0x54:
        accumulator &= instruction.value
        continue
      case 0x05:
        index += Int(instruction.value)
        continue
      case 0x06: return instruction.value
      case 0x15: taken = accumulator == instruction.value
      case 0x25: taken = accumulator > instruction.value
      case 0x35: taken = accumulator >= instruction.value
      default: return nil
      }
      index += Int(taken ? instruction.jump_true : instruction.jump_false)
    }
    return nil
  }

  static func permits(_ policy: SeccompPolicy, _ call: String, _ arguments: [UInt64]) -> Bool {
    policy.rules.contains { rule in
      rule.call == call
        && rule.conditions.allSatisfy { condition in
          let value = arguments[Int(condition.argument)]
          switch condition.comparison {
          case .equal(let expected): return value == expected
          case .atMost(let bound): return value <= bound
          case .masked(let mask, let expected): return value & mask == expected
          }
        }
    }
  }

  @Test("every value around every condition is judged as the table says")
  func exhaustive() throws {
    let policy = SeccompPolicy.driver(mapping: Self.ranges)
    let program = try SeccompFilter(policy).instructions
    var judged = (allowed: 0, refused: 0)
    for call in Set(policy.rules.map(\.call)) {
      let number = UInt32(seccomp_syscall_resolve_name(call))
      for rule in policy.rules where rule.call == call {
        // Arguments that satisfy the rule, then each in turn replaced by the values near any rule's bounds.
        var satisfying = [UInt64](repeating: 0, count: 6)
        for condition in rule.conditions {
          switch condition.comparison {
          case .equal(let value), .atMost(let value), .masked(_, let value):
            satisfying[Int(condition.argument)] = value
          }
        }
        var candidates = [satisfying]
        for other in policy.rules where other.call == call {
          for condition in other.conditions {
            for value in Self.neighbours(condition) {
              var changed = satisfying
              changed[Int(condition.argument)] = value
              candidates.append(changed)
            }
          }
        }
        for arguments in candidates {
          let expected = Self.permits(policy, call, arguments)
          let verdict = Self.run(program, number: number, arguments: arguments)
          #expect(verdict == (expected ? Self.allow : Self.refuse), "\(call) \(arguments)")
          if expected { judged.allowed += 1 } else { judged.refused += 1 }
        }
      }
    }
    // The comparison means something only if both verdicts occur, often.
    #expect(judged.allowed > 100)
    #expect(judged.refused > 500)
  }

  private static func neighbours(_ condition: ArgumentCondition) -> [UInt64] {
    switch condition.comparison {
    case .equal(let value), .atMost(let value):
      [value, value &+ 1, value &- 1, value | 1 << 32, value ^ 1 << 63, value &* 2, 0, .max]
    case .masked(let mask, let value):
      [value, value | ~mask, .max, 0] + (0..<64).map { value ^ (1 << UInt64($0)) }
    }
  }

  @Test("a call that is not in the table is refused, whatever its arguments")
  func unlisted() throws {
    let policy = SeccompPolicy.driver(mapping: Self.ranges)
    let program = try SeccompFilter(policy).instructions
    let listed = Set(policy.rules.map { UInt32(seccomp_syscall_resolve_name($0.call)) })
    for number in UInt32(0)..<700 where !listed.contains(number) {
      #expect(Self.run(program, number: number, arguments: [3, 0, 0, 0, 0, 0]) == Self.refuse, "call \(number)")
    }
  }

  @Test("i386 and x32 calls kill")
  func otherArchitectures() throws {
    let program = try SeccompFilter(.driver(mapping: [])).instructions
    let none = [UInt64](repeating: 0, count: 6)
    #expect(Self.run(program, number: 20, arguments: none, arch: 0x4000_0003) == Self.kill)
    #expect(Self.run(program, number: 0x4000_0000 | 231, arguments: none) == Self.kill)
    #expect(Self.run(program, number: .max, arguments: none) == Self.kill)
    #expect(Self.run(program, number: 231, arguments: none) == Self.allow)
  }

  @Test("without a granted range the device file cannot be mapped at all")
  func noRange() throws {
    let program = try SeccompFilter(.driver(mapping: [])).instructions
    #expect(Self.run(program, number: 9, arguments: [0, 4096, 3, 1, 7, 0]) == Self.refuse)
  }

  @Test("an unknown call is an error, not a gap")
  func unknownCall() {
    let policy = SeccompPolicy(title: "test", rules: [SeccompRule("no_such_call", because: "it tests")])
    #expect(throws: Failure("jail-seccomp", "find the system call no_such_call", errno: ENOSYS)) {
      try SeccompFilter(policy)
    }
  }
}
