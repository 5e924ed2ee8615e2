/// Numbers in few columns, at most five characters up to 10^18.
public enum ShortNumbers {
  /// `0`, `512`, `1.5k`, `23k`, `1.2M`: factors of 1000.
  public static func count(_ value: Double) -> String { text(value, 1000, ["", "k", "M", "G", "T", "P"]) }

  /// `0`, `512`, `1.5K`, `23M`, `1.2G`: factors of 1024.
  public static func bytes(_ value: Double) -> String { text(value, 1024, ["", "K", "M", "G", "T", "P"]) }

  /// `85us`, `1.2ms`, `12s`.
  /// - Parameter microseconds: no negative number.
  public static func time(microseconds: Double) -> String {
    switch microseconds {
    case ..<999.5: "\(Int(microseconds.rounded()))us"
    case ..<9950: "\(tenths(microseconds / 1000))ms"
    case ..<999_500: "\(Int((microseconds / 1000).rounded()))ms"
    case ..<9_950_000: "\(tenths(microseconds / 1_000_000))s"
    default: "\(Int(min(1e9, microseconds / 1_000_000).rounded()))s"
    }
  }

  /// `0`, `0.3`, `12`, `250`: two digits that mean something.
  public static func percent(_ value: Double) -> String {
    value < 9.95 && value >= 0.05 ? tenths(value) : "\(Int(min(99999, max(0, value)).rounded()))"
  }

  private static func text(_ value: Double, _ factor: Double, _ units: [String]) -> String {
    var value = max(0, value)
    var unit = 0
    // What would be rounded to the next unit belongs there.
    while value.rounded() >= (unit == 0 ? factor : min(factor, 1000)), unit < units.count - 1 {
      value /= factor
      unit += 1
    }
    if unit > 0, value < 9.95 { return tenths(value) + units[unit] }
    return "\(Int(min(9999, value).rounded()))\(units[unit])"
  }

  private static func tenths(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }
}
