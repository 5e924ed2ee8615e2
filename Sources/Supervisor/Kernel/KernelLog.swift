import Glibc
import Platform

/// The kernel's log from now on, record by record (Documentation/ABI/testing/dev-kmsg).
final class KernelLog {
  private let file: Int32
  private let loop: EventLoop
  private var token: EventLoop.Token?

  /// - Parameter handler: gets each message, and nil where the kernel overwrote some before they were read.
  /// - Throws: ``Failure`` `kernel-log`.
  init(path: String = "/dev/kmsg", loop: EventLoop, handler: @escaping (String?) -> Void) throws(Failure) {
    file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard file >= 0 else {
      throw Failure("kernel-log", "open \(path)", errno: errno, hint: "without it DMA faults are not attributed")
    }
    _ = lseek(file, 0, SEEK_END)
    self.loop = loop
    token = loop.watch(file) { [weak self] _ in self?.read(handler) }
  }

  deinit {
    if let token { loop.remove(token) }
    Descriptor.close(file)
  }

  /// As many records as there are, but a bounded number, so that a log storm does not starve the rest.
  private func read(_ handler: (String?) -> Void) {
    var record = [UInt8](repeating: 0, count: 8192)
    for _ in 0..<64 {
      let count = Glibc.read(file, &record, record.count)
      if count < 0, errno == EPIPE {
        handler(nil)
        continue
      }
      guard count > 0 else { return }
      if let message = KernelLog.message(of: record[..<count]) { handler(message) }
    }
  }

  /// The text of a record: `priority,sequence,time,flags;text`, then lines of dictionary.
  static func message(of record: some Collection<UInt8>) -> String? {
    guard let semicolon = record.firstIndex(of: UInt8(ascii: ";")) else { return nil }
    let text = record[record.index(after: semicolon)...].prefix { $0 != UInt8(ascii: "\n") }
    return unescaped(Array(text))
  }

  /// The kernel writes what is not printable as `\x09`.
  private static func unescaped(_ bytes: [UInt8]) -> String {
    var clean: [UInt8] = []
    var index = 0
    while index < bytes.count {
      if bytes[index] == UInt8(ascii: "\\"), index + 3 < bytes.count, bytes[index + 1] == UInt8(ascii: "x") {
        clean.append(UInt8(ascii: " "))
        index += 4
      } else {
        clean.append(bytes[index])
        index += 1
      }
    }
    return String(decoding: clean, as: UTF8.self)
  }
}
