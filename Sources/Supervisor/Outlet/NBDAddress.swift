import Protocol

/// Where an NBD client finds an export on a Unix socket, as the URI that clients take
/// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md).
struct NBDAddress: Equatable, CustomStringConvertible {
  var socket: String
  /// Empty: the first of the socket.
  var export = ""

  /// `nbd+unix:///?socket=/run/bulkhead/nbd/scratch.sock`
  var description: String { "nbd+unix:///\(NBDAddress.escaped(export))?socket=\(NBDAddress.escaped(socket))" }

  /// Percent-encoded (RFC 3986 section 2.1), but for slashes, which are plain in a query and never in a name.
  private static func escaped(_ text: String) -> String {
    text.utf8.reduce(into: "") { result, byte in
      let character = Character(Unicode.Scalar(byte))
      if byte < 0x80, character.isLetter || character.isNumber || "-._~/".contains(character) {
        result.append(character)
      } else {
        result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
  }
}

extension BlockUnit {
  /// As the broker's NBD server calls it.
  var exportName: String { "ns\(identifier)" }
}
