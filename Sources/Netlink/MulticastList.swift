import CBulkhead
import Glibc
import Platform
import Protocol

/// The multicast addresses that an interface has to hear (`ip maddress show`).
///
/// rtnetlink does not tell of them, so this is the kernel's table `dev_mcast`. The file is opened once: it belongs to the
/// namespace in which it was opened.
public final class MulticastList {
  private let file: Descriptor
  private let index: Int32

  /// - Throws: `multicast-list`, `network-namespace`.
  public init(index: Int32, namespace: NetworkNamespace? = nil) throws(Failure) {
    let path = "/proc/thread-self/net/dev_mcast"
    file = try inNamespace(namespace) { () throws(Failure) -> Descriptor in
      Descriptor(owning: try checked(bh_open_readonly(path), "multicast-list", "open \(path)"))
    }
    self.index = index
  }

  /// What the interface has to hear now, in a fixed order.
  /// - Throws: `multicast-list`.
  public func read() throws(Failure) -> [HardwareAddress] {
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 16 * 1024)
    while true {
      let got = bh_read_at(file.number, &part, part.count, Int64(text.count))
      if got == -Int(EINTR) { continue }
      try checked(got, "multicast-list", "read the multicast addresses of interface \(index)")
      if got == 0 { break }
      text += part[..<got]
    }
    return MulticastList.parse(text, index: index)
  }

  /// Lines of `index name references global address`, the address as 12 hexadecimal digits.
  static func parse(_ text: [UInt8], index: Int32) -> [HardwareAddress] {
    var addresses: [HardwareAddress] = []
    for line in text.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: " "))
      guard fields.count == 5, Int32(String(decoding: fields[0], as: UTF8.self)) == index else { continue }
      let digits = Array(fields[4])
      guard digits.count == 12 else { continue }
      let bytes = stride(from: 0, to: 12, by: 2).compactMap { at in
        UInt8(String(decoding: digits[at..<at + 2], as: UTF8.self), radix: 16)
      }
      if let address = HardwareAddress(octets: bytes) { addresses.append(address) }
    }
    return addresses.sorted { $0.bits < $1.bits }
  }
}
