import CBulkhead

/// What the administrator set for this driver: arguments of the form `name=value`, named in the driver's manifest.
public struct Options: Sendable {
  private let values: [(name: String, value: String)]

  /// Arguments without `=` are ignored; of two with one name the later counts.
  public init(arguments: [String]) {
    values = arguments.compactMap { argument in
      guard let separator = argument.firstIndex(of: "=") else { return nil }
      return (String(argument[..<separator]), String(argument[argument.index(after: separator)...]))
    }
  }

  /// The arguments of this process, without its name.
  public static func ofProcess() -> Options {
    Options(arguments: (1..<max(1, Int(bh_argument_count()))).map { String(cString: bh_argument(Int32($0))) })
  }

  /// The text that was given, or nil.
  public subscript(name: String) -> String? { values.last { $0.name == name }?.value }

  /// A number, decimal or with `0x` hexadecimal; `fallback` where the option was not given.
  /// - Throws: ``FailureCode/unsupported`` for what is no number or outside `range`.
  public func number<Value: FixedWidthInteger>(
    _ name: String, default fallback: Value, in range: ClosedRange<Value> = Value.min...Value.max
  ) throws(DriverFailure) -> Value {
    guard let text = self[name] else { return fallback }
    let isHexadecimal = text.hasPrefix("0x")
    guard let value = Value(isHexadecimal ? String(text.dropFirst(2)) : text, radix: isHexadecimal ? 16 : 10),
      range.contains(value)
    else {
      throw DriverFailure(
        .unsupported, "option \(name)=\(text): expected a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }
}
