import Glibc
import Platform

/// What cannot be read from a file: asks the running kernel.
public protocol HostProbe: Sendable {
  /// The addresses of a network interface, for people to read.
  func addresses(ofInterface name: String) -> [String]
  /// Whether somebody has opened the block device for himself: a file system in another mount namespace, ZFS, a running
  /// fsck. mkfs(8) asks the same way.
  func isClaimed(blockDevice path: String) -> Bool
}

/// The kernel that runs this process.
public struct LiveProbe: HostProbe {
  public init() {}

  public func addresses(ofInterface name: String) -> [String] {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return [] }
    defer { freeifaddrs(list) }
    var found: [String] = []
    var next = list
    while let entry = next?.pointee {
      next = entry.ifa_next
      guard let address = entry.ifa_addr, String(cString: entry.ifa_name) == name else { continue }
      let size: Int
      switch Int32(address.pointee.sa_family) {
      case AF_INET: size = MemoryLayout<sockaddr_in>.size
      case AF_INET6: size = MemoryLayout<sockaddr_in6>.size
      default: continue
      }
      var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      if getnameinfo(address, socklen_t(size), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 {
        found.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
      }
    }
    return found
  }

  public func isClaimed(blockDevice path: String) -> Bool {
    let file = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK)
    if file >= 0 { close(file) }
    return file < 0 && errno == EBUSY
  }
}
