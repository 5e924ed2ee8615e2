import Glibc
import Platform

/// Where the kernel shows itself. Other roots are for tests.
public struct KernelTree: Sendable {
  /// Paths without a slash at the end.
  public var sys: String
  public var proc: String
  public var dev: String

  public init(sys: String = "/sys", proc: String = "/proc", dev: String = "/dev") {
    self.sys = sys
    self.proc = proc
    self.dev = dev
  }

  /// The whole of a file below ``proc``; `nil` if it cannot be read.
  func procText(_ path: String) -> String? { try? readFile("\(proc)/\(path)") }

  /// An attribute below ``sys`` without the newline; `nil` if it does not exist or cannot be read.
  func attribute(_ path: String) -> String? { try? read(path) }

  /// An attribute that is a number; hexadecimal with `0x`, else decimal.
  func number(_ path: String) -> UInt64? {
    guard let text = attribute(path) else { return nil }
    return text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }

  /// The names in a directory below ``sys``, sorted; empty if there is no such directory.
  func names(_ path: String) -> [String] {
    guard let directory = opendir("\(sys)/\(path)") else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(cString: $0.bindMemory(to: CChar.self).baseAddress!)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// A path below ``sys`` with all links followed; `nil` if it does not exist.
  func resolved(_ path: String) -> String? { realPath("\(sys)/\(path)") }

  /// The name of the device node behind a path such as `/dev/disk/by-label/data`: `sda1`.
  func deviceNodeName(_ path: String) -> String? {
    guard path.hasPrefix("/dev/") else { return nil }
    let node = realPath(dev + path.dropFirst("/dev".count)) ?? path
    return node.split(separator: "/").last.map(String.init)
  }

  private func realPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  private func readFile(_ path: String) throws(Failure) -> String {
    let number = open(path, O_RDONLY | O_CLOEXEC)
    guard number >= 0 else { throw Failure("sysfs-read", "open \(path)", errno: errno) }
    let file = Descriptor(owning: number)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = Glibc.read(file.number, &chunk, chunk.count)
      guard count >= 0 else { throw Failure("sysfs-read", "read \(path)", errno: errno) }
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }
}

extension KernelTree: SysfsAccess {
  public func read(_ path: String) throws(Failure) -> String {
    var text = try readFile("\(sys)/\(path)")
    if text.hasSuffix("\n") { text.removeLast() }
    return text
  }

  public func write(_ text: String, to path: String) throws(Failure) {
    let number = open("\(sys)/\(path)", O_WRONLY | O_CLOEXEC)
    guard number >= 0 else { throw Failure("sysfs-write", "open \(sys)/\(path)", errno: errno) }
    let file = Descriptor(owning: number)
    let bytes = Array(text.utf8)
    let count = Glibc.write(file.number, bytes, bytes.count)
    guard count == bytes.count else {
      let word = text.hasSuffix("\n") ? text.dropLast() : text[...]
      throw Failure("sysfs-write", "write '\(word)' to \(sys)/\(path)", errno: count < 0 ? errno : EIO)
    }
  }

  public func linkName(_ path: String) -> String? {
    var target = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("\(sys)/\(path)", &target, target.count - 1)
    guard count > 0 else { return nil }
    let text = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return text.split(separator: "/").last.map(String.init)
  }

  public func exists(_ path: String) -> Bool { access("\(sys)/\(path)", F_OK) == 0 }

  public func settle() { usleep(20_000) }
}
