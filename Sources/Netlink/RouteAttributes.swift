import CLibNL

/// The attributes of a received message, as copies. libnl checks each length against the message as it walks.
struct RouteAttributes {
  private var values: [Int32: [UInt8]] = [:]

  /// The attributes behind the first `headerSize` bytes of the payload; `nil` if the message is too short to have them.
  init?(of header: UnsafeMutablePointer<nlmsghdr>, headerSize: Int) {
    guard nlmsg_valid_hdr(header, Int32(headerSize)) != 0 else { return nil }
    self.init(first: nlmsg_attrdata(header, Int32(headerSize)), length: nlmsg_attrlen(header, Int32(headerSize)))
  }

  /// The attributes in `length` bytes from `first`.
  init(first: UnsafeMutablePointer<nlattr>?, length: Int32) {
    var next = first
    var rest = length
    while let attribute = next, nla_ok(attribute, rest) != 0 {
      if let bytes = nla_data(attribute) {
        values[nla_type(attribute)] = Array(UnsafeRawBufferPointer(start: bytes, count: Int(nla_len(attribute))))
      }
      next = nla_next(attribute, &rest)
    }
  }

  func bytes(_ kind: Int) -> [UInt8]? { values[Int32(kind)] }

  func u8(_ kind: Int) -> UInt8? { bytes(kind)?.first }

  func u32(_ kind: Int) -> UInt32? {
    guard let bytes = bytes(kind), bytes.count >= 4 else { return nil }
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
  }

  /// As many 64-bit numbers as are there.
  func u64s(_ kind: Int) -> [UInt64]? {
    bytes(kind)?.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count & ~7, by: 8).map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self) }
    }
  }

  func string(_ kind: Int) -> String? {
    bytes(kind).map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  func nested(_ kind: Int) -> RouteAttributes? {
    guard var bytes = bytes(kind) else { return nil }
    let length = Int32(bytes.count)
    return bytes.withUnsafeMutableBytes { buffer in
      RouteAttributes(first: buffer.baseAddress?.assumingMemoryBound(to: nlattr.self), length: length)
    }
  }
}
