import CBulkhead
import Glibc

/// One system call with arguments that do no harm where they are permitted.
struct Attempt {
  var name: String
  var number: Int
  var arguments: [UInt]
  /// Not tried without a jail: it cannot be undone there, or fails with EPERM anyway.
  var jailOnly = false

  init(_ name: String, _ number: Int, _ arguments: UInt..., jailOnly: Bool = false) {
    self.name = name
    self.number = number
    self.arguments = arguments
    self.jailOnly = jailOnly
  }

  /// The call's value, or -errno. A child that it makes ends at once.
  func result() -> Int {
    let full = arguments + Array(repeating: 0, count: 6 - arguments.count)
    let result = bh_syscall(number, full[0], full[1], full[2], full[3], full[4], full[5])
    if result == 0, Self.forks.contains(number) { _exit(0) }
    return result
  }

  private static let forks = [56, 57, 435]

  /// A page of zeros, in place of every structure that a call wants.
  static var zeros: UInt { text(bytes: 4096) }
  /// A path that leads somewhere wherever there is a root.
  static var root: UInt { text("/") }
  /// A path that leads nowhere, for calls that change something.
  static var nowhere: UInt { text("") }
  /// The current directory, AT_FDCWD.
  static var here: UInt { UInt(bitPattern: -100) }
  /// File number -1.
  static var none: UInt { UInt(bitPattern: -1) }

  static func text(_ text: String) -> UInt { UInt(bitPattern: strdup(text)) }
  static func text(bytes: Int) -> UInt { UInt(bitPattern: calloc(1, bytes)) }

  static var denied: [Attempt] {
    paths + sockets + device + memfds + processes + mounts + mappings + memory + descriptors + identity + kernel
  }
}
