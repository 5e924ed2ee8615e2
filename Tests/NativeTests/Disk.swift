import NBDClient

/// One request after the other, for tests that look at single ones.
final class Disk {
  private let connection: NBDConnection
  private var cookie: UInt64 = 0
  private let patience: Int64

  /// - Parameter time: nanoseconds for the negotiation, and for each request.
  init(_ native: Native, name: String = "", within time: Int64 = 10_000_000_000) throws {
    patience = time
    connection = try NBDConnection(socket: native.socket, name: name, within: time)
  }

  var export: NBDExport { connection.export }
  var isLost: Bool { connection.isLost }

  /// - Returns: the error value; nil: none in time, or the connection was lost.
  func write(_ bytes: [UInt8], at offset: UInt64, flags: UInt16 = 0) -> UInt32? {
    var bytes = bytes
    return bytes.withUnsafeMutableBytes { run(.write, flags, offset, $0.count, $0.baseAddress) }
  }

  func read(_ length: Int, at offset: UInt64) -> (error: UInt32?, bytes: [UInt8]) {
    var bytes = [UInt8](repeating: 0xEE, count: length)
    let error = bytes.withUnsafeMutableBytes { run(.read, 0, offset, length, $0.baseAddress) }
    return (error, bytes)
  }

  func flush() -> UInt32? { run(.flush, 0, 0, 0, nil) }
  func trim(_ length: Int, at offset: UInt64, flags: UInt16 = 0) -> UInt32? { run(.trim, flags, offset, length, nil) }
  func writeZeroes(_ length: Int, at offset: UInt64, flags: UInt16 = 0) -> UInt32? {
    run(.writeZeroes, flags, offset, length, nil)
  }

  private func run(
    _ kind: NBDRequest.Kind, _ flags: UInt16, _ offset: UInt64, _ length: Int, _ memory: UnsafeMutableRawPointer?
  ) -> UInt32? {
    cookie += 1
    connection.submit(
      NBDRequest(kind, flags: flags, offset: offset, length: length, memory: memory, cookie: cookie))
    return connection.wait(for: cookie, within: patience)
  }
}
