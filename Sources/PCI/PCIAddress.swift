/// The address of a PCI function: `0000:01:00.0`.
public struct PCIAddress: Hashable, Comparable, Sendable, LosslessStringConvertible {
  /// The PCI segment.
  public let domain: UInt32
  public let bus: UInt8
  /// 0...31.
  public let device: UInt8
  /// 0...7.
  public let function: UInt8

  /// - Returns: `nil` if the device is above 31 or the function above 7.
  public init?(domain: UInt32 = 0, bus: UInt8, device: UInt8, function: UInt8) {
    guard device < 32, function < 8 else { return nil }
    self.domain = domain
    self.bus = bus
    self.device = device
    self.function = function
  }

  /// From `0000:01:00.0` or, in domain 0, `01:00.0`; two digits for bus and device, four to eight for the domain.
  public init?(_ text: String) {
    let parts = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3, let tail = parts.last, tail.count == 4,
      tail[tail.index(tail.startIndex, offsetBy: 2)] == UInt8(ascii: "."),
      let device = PCIAddress.hexadecimal(tail.prefix(2), digits: 2...2),
      let function = PCIAddress.hexadecimal(tail.suffix(1), digits: 1...1),
      let bus = PCIAddress.hexadecimal(parts[parts.count - 2], digits: 2...2)
    else { return nil }
    var domain: UInt32 = 0
    if parts.count == 3 {
      // Intel VMD makes domains above 0xffff, which the kernel prints with more digits.
      guard let given = PCIAddress.hexadecimal(parts[0], digits: 4...8) else { return nil }
      domain = given
    }
    self.init(domain: domain, bus: UInt8(bus), device: UInt8(device), function: UInt8(function))
  }

  private static func hexadecimal(_ text: Substring.UTF8View, digits: ClosedRange<Int>) -> UInt32? {
    guard digits.contains(text.count) else { return nil }
    var value: UInt32 = 0
    for character in text {
      switch character {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(character - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(character - UInt8(ascii: "a") + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(character - UInt8(ascii: "A") + 10)
      default: return nil
      }
    }
    return value
  }

  /// As the kernel writes it in sysfs: `0000:01:00.0`.
  public var description: String {
    "\(padded(domain, to: 4)):\(padded(UInt32(bus), to: 2)):\(padded(UInt32(device), to: 2)).\(function)"
  }

  public static func < (left: PCIAddress, right: PCIAddress) -> Bool {
    (left.domain, left.bus, left.device, left.function) < (right.domain, right.bus, right.device, right.function)
  }
}

extension PCIAddress: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let address = PCIAddress(text) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "'\(text)' is not a PCI address")
    }
    self = address
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// `value` in hexadecimal with leading zeros.
func padded(_ value: UInt32, to digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
