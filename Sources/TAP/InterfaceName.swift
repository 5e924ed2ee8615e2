import Platform

/// A name that the kernel takes for a network interface.
public struct InterfaceName: Sendable, Hashable, CustomStringConvertible {
  /// The most bytes of a name (IFNAMSIZ without the final zero).
  public static let maximumLength = 15

  public let description: String

  /// 1 to 15 bytes of printable ASCII; not `.` or `..`; no slash, colon, space (the kernel's rules, `dev_valid_name`), and
  /// no percent sign, which would make it a pattern.
  /// - Throws: `interface-name`.
  public init(_ text: String) throws(Failure) {
    let refused: (String) -> Failure = { reason in
      Failure("interface-name", "name an interface '\(text)': \(reason)", hint: "for example bh0 or nic-left")
    }
    let bytes = Array(text.utf8)
    guard !bytes.isEmpty else { throw refused("it is empty") }
    guard bytes.count <= InterfaceName.maximumLength else {
      throw refused("it has \(bytes.count) bytes, at most \(InterfaceName.maximumLength) will do")
    }
    guard text != ".", text != ".." else { throw refused("the kernel uses names as file names") }
    for byte in bytes {
      guard byte > UInt8(ascii: " "), byte < 0x7F else { throw refused("only printable ASCII without spaces will do") }
      guard byte != UInt8(ascii: "/"), byte != UInt8(ascii: ":"), byte != UInt8(ascii: "%") else {
        throw refused("'\(Character(UnicodeScalar(byte)))' cannot be in a name")
      }
    }
    // `ip` and sysctl take these for something else: net.ipv4.conf.all and .default.
    guard text != "all", text != "default" else { throw refused("it has a meaning of its own in /proc/sys/net") }
    description = text
  }
}
