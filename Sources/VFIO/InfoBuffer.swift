import Platform

/// Asks an info ioctl that says how much room it needs, until the room is enough.
enum InfoBuffer {
  /// No answer of a kernel comes near this.
  private static let limit = 1 << 20

  /// - Parameters:
  ///   - initial: bytes to try first.
  ///   - call: the ioctl; fills the buffer and returns 0 or -errno. Its first four bytes return the room it needs.
  static func read(
    initial: Int, code: String, step: String, call: (UnsafeMutableRawPointer, UInt32) -> Int32
  ) throws(Failure) -> [UInt8] {
    var size = initial
    while true {
      var bytes = [UInt8](repeating: 0, count: size)
      let result = bytes.withUnsafeMutableBytes { call($0.baseAddress!, UInt32($0.count)) }
      try checked(result, code, step)
      let needed = Int(bytes.u32(0))
      if needed <= size { return bytes }
      guard needed <= limit else { throw Failure(code, "\(step): the kernel asks for \(needed) bytes") }
      size = needed
    }
  }
}
