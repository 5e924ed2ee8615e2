/// An Ethernet address.
public struct MACAddress: Sendable, Hashable, CustomStringConvertible {
  /// Six bytes, in the order in which they are sent.
  public let bytes: [UInt8]

  /// `nil` unless there are six bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == 6 else { return nil }
    self.bytes = Array(bytes)
  }

  /// Six pairs of hexadecimal digits, with colons or dashes between; `nil` for anything else.
  public init?(_ text: String) {
    let pairs = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
    var bytes: [UInt8] = []
    for pair in pairs {
      guard pair.utf8.count == 2, pair.allSatisfy(\.isHexDigit), let byte = UInt8(pair, radix: 16) else { return nil }
      bytes.append(byte)
    }
    self.init(bytes)
  }

  /// For a group of stations (IEEE 802: the lowest bit of the first byte).
  public var isMulticast: Bool { bytes[0] & 1 != 0 }
  /// What an interface may have: not a group's, and not all zeros.
  public var isStation: Bool { !isMulticast && bytes.contains { $0 != 0 } }

  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
