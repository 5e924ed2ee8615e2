import Platform

/// Sizes, durations and percentages as people write them.
enum Quantity {
  /// Bytes: `4096`, `512K`, `64M`, `1G`, also with `iB`. Multiples of 1024.
  static func bytes(_ text: String) -> Int? {
    var digits = text[...]
    if digits.hasSuffix("iB") { digits = digits.dropLast(2) }
    var shift = 0
    switch digits.last {
    case "K": shift = 10
    case "M": shift = 20
    case "G": shift = 30
    default:
      if digits.count != text.count { return nil }
    }
    if shift > 0 { digits = digits.dropLast() }
    guard let number = natural(digits) else { return nil }
    let (value, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? nil : value
  }

  /// Nanoseconds: `100ms`, `10s`, `5m`, `1h`; `0` needs no unit.
  static func duration(_ text: String) -> Nanoseconds? {
    if text == "0" { return 0 }
    let units: [(suffix: String, scale: Int64)] = [
      ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]
    for unit in units where text.hasSuffix(unit.suffix) {
      guard let number = natural(text.dropLast(unit.suffix.count)) else { continue }
      let (value, overflow) = Int64(number).multipliedReportingOverflow(by: unit.scale)
      return overflow ? nil : value
    }
    return nil
  }

  /// `150%` is one and a half processors.
  static func percent(_ text: String) -> Int? {
    guard text.hasSuffix("%"), let value = natural(text.dropLast()), (1...100_000).contains(value) else { return nil }
    return value
  }

  /// `100ms`, as ``duration(_:)`` reads it.
  static func text(duration: Nanoseconds) -> String {
    let units: [(suffix: String, scale: Nanoseconds)] = [
      ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
    ]
    for unit in units where duration > 0 && duration % unit.scale == 0 {
      return "\(duration / unit.scale)\(unit.suffix)"
    }
    return duration == 0 ? "0" : "\(duration / 1000)us"
  }

  /// `4M`, or the plain number where it is no multiple.
  static func text(bytes: Int) -> String {
    for (suffix, shift) in [("G", 30), ("M", 20), ("K", 10)] where bytes > 0 && bytes % (1 << shift) == 0 {
      return "\(bytes >> shift)\(suffix)"
    }
    return "\(bytes)"
  }

  private static func natural(_ text: Substring) -> Int? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      return nil
    }
    return Int(text)
  }
}
