import Protocol

extension HardwareAddress {
  /// From octets in the order in which they are sent; `nil` unless there are six.
  public init?(octets: some Collection<UInt8>) {
    guard octets.count == 6 else { return nil }
    self.init(bits: octets.reduce(0) { $0 << 8 | UInt64($1) })
  }

  /// Six pairs of hexadecimal digits, with colons or dashes between; `nil` for anything else.
  public init?(_ text: String) {
    let pairs = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
    var octets: [UInt8] = []
    for pair in pairs {
      // More than that would be a sign, or a digit that is not ASCII.
      guard pair.utf8.count == 2, pair.allSatisfy(\.isHexDigit), let octet = UInt8(pair, radix: 16) else { return nil }
      octets.append(octet)
    }
    self.init(octets: octets)
  }

  /// In the order in which they are sent.
  var octets: [UInt8] { (0..<6).map { self[$0] } }
}
