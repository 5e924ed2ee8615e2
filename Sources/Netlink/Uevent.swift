import Platform

/// A kernel object event: a device came, went or changed.
public struct Uevent: Sendable, Equatable {
  /// `add`, `remove`, `change`, `bind`, `unbind`, `move`, `online`, `offline`.
  public var action: String
  /// Below /sys: `/devices/pci0000:00/0000:00:03.0`.
  public var devpath: String
  /// `pci`, `block`, `net`...; empty for a few objects that have none.
  public var subsystem: String
  /// All `KEY=value` pairs, the three above included.
  public var properties: [String: String]

  /// Parses a message: `action@devpath`, then pairs, each ended by a zero byte.
  /// - Throws: `uevent-malformed`.
  public init(parsing bytes: [UInt8]) throws(Failure) {
    guard bytes.last == 0 else { throw Failure("uevent-malformed", "read \(bytes.count) bytes without an end") }
    var lines = bytes.dropLast().split(separator: 0, omittingEmptySubsequences: false)[...]
    guard let header = lines.popFirst(), let at = header.firstIndex(of: UInt8(ascii: "@")) else {
      throw Failure("uevent-malformed", "read an event without action@devpath")
    }
    let action = String(decoding: header[..<at], as: UTF8.self)
    let devpath = String(decoding: header[(at + 1)...], as: UTF8.self)
    var properties: [String: String] = [:]
    for line in lines {
      guard let equals = line.firstIndex(of: UInt8(ascii: "=")), equals > line.startIndex else {
        throw Failure("uevent-malformed", "read '\(String(decoding: line, as: UTF8.self))' in \(action)@\(devpath)")
      }
      properties[String(decoding: line[..<equals], as: UTF8.self)] =
        String(decoding: line[(equals + 1)...], as: UTF8.self)
    }
    guard !action.isEmpty, devpath.hasPrefix("/"), properties["ACTION"] == action, properties["DEVPATH"] == devpath
    else {
      throw Failure("uevent-malformed", "read \(action)@\(devpath), which its own properties contradict")
    }
    self.action = action
    self.devpath = devpath
    self.properties = properties
    subsystem = properties["SUBSYSTEM"] ?? ""
  }
}
