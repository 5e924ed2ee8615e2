/// What one argument of a system call must be.
///
/// The kernel compares the whole 64-bit register. Arguments that are `int` in C arrive sign-extended, so a comparison
/// with a small number also refuses garbage in the upper half.
public struct ArgumentCondition: Sendable, Equatable {
  /// How the argument is compared.
  public enum Comparison: Sendable, Equatable {
    case equal(UInt64)
    case atMost(UInt64)
    /// `argument & mask == value`.
    case masked(mask: UInt64, value: UInt64)
  }

  /// Position of the argument, 0 to 5.
  public var argument: UInt32
  public var comparison: Comparison
  /// The condition in words, for the printed policy.
  public var text: String

  public init(_ argument: UInt32, _ comparison: Comparison, _ text: String) {
    precondition(argument < 6, "a system call has six arguments")
    self.argument = argument
    self.comparison = comparison
    self.text = text
  }

  /// Argument 0 is the file with this number.
  public static func file(_ number: Int32, _ name: String, argument: UInt32 = 0) -> Self {
    Self(argument, .equal(UInt64(number)), "file \(number) (\(name))")
  }

  /// No bits outside `mask` are set.
  public static func only(_ argument: UInt32, bits mask: UInt64, _ text: String) -> Self {
    Self(argument, .masked(mask: ~mask, value: 0), text)
  }

  /// The argument is exactly `value`.
  public static func equals(_ argument: UInt32, _ value: UInt64, _ text: String) -> Self {
    Self(argument, .equal(value), text)
  }

  /// Argument 0 is one of `numbers`: one condition for each aligned block of a power of two, since a filter rule
  /// compares an argument only once.
  public static func files(_ numbers: Range<Int32>, _ name: String) -> [Self] {
    precondition(numbers.lowerBound > 0, "blocks start above 0")
    var conditions: [Self] = []
    var first = numbers.lowerBound
    while first < numbers.upperBound {
      var size: Int32 = 1 << Int32(first.trailingZeroBitCount)
      while first + size > numbers.upperBound { size >>= 1 }
      let text = size == 1 ? "file \(first) (\(name))" : "files \(first) to \(first + size - 1) (\(name))"
      conditions.append(Self(0, .masked(mask: ~UInt64(size - 1), value: UInt64(first)), text))
      first += size
    }
    return conditions
  }
}

/// One permitted use of one system call.
public struct SeccompRule: Sendable, Equatable {
  /// The name of the system call as the kernel spells it.
  public var call: String
  /// All of them must hold; each names another argument.
  public var conditions: [ArgumentCondition]
  /// Why a process under this policy cannot do without the call.
  public var reason: String

  public init(_ call: String, _ conditions: [ArgumentCondition] = [], because reason: String) {
    self.call = call
    self.conditions = conditions
    self.reason = reason
  }

  /// One rule for each of `alternatives`, which take turns as the first condition.
  public static func each(
    _ call: String, of alternatives: [ArgumentCondition], _ conditions: [ArgumentCondition] = [],
    because reason: String
  ) -> [Self] {
    alternatives.map { Self(call, [$0] + conditions, because: reason) }
  }
}

/// An allow-list of system calls. What is not on it fails with EPERM; a call of another architecture's table (i386 or
/// x32 on x86-64) kills the process, since it is only ever made to slip past a filter.
public struct SeccompPolicy: Sendable, Equatable {
  /// Who is confined by it, for the printed page.
  public var title: String
  /// In the order of the checks: frequent calls first.
  public var rules: [SeccompRule]

  public init(title: String, rules: [SeccompRule]) {
    self.title = title
    self.rules = rules
  }
}
