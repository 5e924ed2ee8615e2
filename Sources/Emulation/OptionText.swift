import Platform

/// `name=value` and what can be wrong with it.
struct OptionText {
  let name: String
  let value: String

  /// - Throws: `emulation-option` for text without `=`.
  init(_ text: String) throws(Failure) {
    guard let sign = text.firstIndex(of: "="), sign != text.startIndex else {
      throw Failure("emulation-option", "read `\(text)`", hint: "options are written name=value")
    }
    name = String(text[..<sign])
    value = String(text[text.index(after: sign)...])
  }

  func refused(_ wanted: String) -> Failure {
    Failure("emulation-option", "read `\(name)=\(value)`", hint: "\(name) is \(wanted)")
  }

  func number(_ range: ClosedRange<UInt64>) throws(Failure) -> UInt64 {
    let digits = value.hasPrefix("0x") ? UInt64(value.dropFirst(2), radix: 16) : UInt64(value)
    guard let digits, range.contains(digits) else {
      throw refused("a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return digits
  }

  func int(_ range: ClosedRange<Int>) throws(Failure) -> Int {
    Int(try number(UInt64(range.lowerBound)...UInt64(range.upperBound)))
  }

  func onOff() throws(Failure) -> Bool {
    switch value {
    case "on": return true
    case "off": return false
    default: throw refused("on or off")
    }
  }

  /// Bytes, with K, M, G or T for powers of 1024.
  func bytes(_ range: ClosedRange<Int>) throws(Failure) -> Int {
    let wanted = "bytes, such as 4096, 64M or 1G, from \(range.lowerBound) to \(range.upperBound)"
    var shift = 0
    var digits = Substring(value)
    if let last = value.last, let power = ["K", "M", "G", "T"].firstIndex(of: last.uppercased()) {
      shift = 10 * (power + 1)
      digits = value.dropLast()
    }
    guard let count = Int(digits), count >= 0,
      case (let bytes, false) = count.multipliedReportingOverflow(by: 1 << shift),
      range.contains(bytes)
    else { throw refused(wanted) }
    return bytes
  }

  /// A time with its unit: ns, us, ms or s; 0 needs none.
  func duration() throws(Failure) -> Nanoseconds {
    if value == "0" { return 0 }
    let units: [(String, Int64)] = [("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000)]
    for (unit, scale) in units where value.hasSuffix(unit) {
      guard let count = Int64(value.dropLast(unit.count)), count >= 0,
        case (let time, false) = count.multipliedReportingOverflow(by: scale)
      else { break }
      return time
    }
    throw refused("a time such as 500us, 20ms or 2s")
  }

  /// A part of one, such as 0.05, in millionths.
  func probability() throws(Failure) -> UInt32 {
    guard let part = Double(value), part > 0, part <= 1 else { throw refused("a probability, above 0 and at most 1") }
    return UInt32((part * 1_000_000).rounded())
  }
}
