/// Mappings. The granted ranges are 0x2000 bytes at 0x2000 and 0x1000 bytes at 0x8000 of file 7.
extension Attempt {
  private static let read: UInt = 1
  private static let readWrite: UInt = 3
  private static let readExec: UInt = 5
  private static let shared: UInt = 1
  private static let priv: UInt = 2
  private static let anonymous: UInt = 0x22

  private static func map(
    _ name: String, _ length: UInt, _ protection: UInt, _ flags: UInt, _ file: UInt, _ offset: UInt = 0,
    jailOnly: Bool = false
  ) -> Attempt {
    Attempt(name, 9, 0, length, protection, flags, file, offset, jailOnly: jailOnly)
  }

  static let mappings = [
    map("map-page-before", 0x1000, readWrite, shared, 7, 0x1000),
    map("map-first-page", 0x1000, readWrite, shared, 7, 0),
    map("map-page-inside-range", 0x1000, readWrite, shared, 7, 0x3000),
    map("map-page-after", 0x1000, readWrite, shared, 7, 0x4000),
    map("map-range-too-long", 0x3000, readWrite, shared, 7, 0x2000),
    map("map-second-range-too-long", 0x2000, readWrite, shared, 7, 0x8000),
    map("map-huge-length", 1 << 46, readWrite, shared, 7, 0x2000),
    map("map-offset-upper-bits", 0x1000, readWrite, shared, 7, 1 << 40 | 0x2000),
    map("map-range-exec", 0x1000, readExec, shared, 7, 0x2000, jailOnly: true),
    map("map-range-private", 0x1000, readWrite, priv, 7, 0x2000),
    map("map-range-validate", 0x1000, readWrite, 3, 7, 0x2000),
    map("map-file-upper-bits", 0x1000, readWrite, shared, 1 << 32 | 7, 0),
    map("map-range-file-upper-bits", 0x1000, readWrite, shared, 1 << 32 | 7, 0x2000),
    map("map-control", 0x1000, read, shared, 3),
    map("map-other-file", 0x1000, read, shared, 8),
    map("map-arena-exec", 0x1000, readExec, shared, 5, jailOnly: true),
    map("map-rings-exec", 0x1000, readExec, shared, 4, jailOnly: true),
    map("map-arena-private", 0x1000, readWrite, priv, 5),
    map("map-anonymous-exec", 0x1000, readExec, anonymous, none),
    map("map-anonymous-write-exec", 0x1000, 7, anonymous, none),
    map("map-anonymous-shared", 0x1000, readWrite, 0x21, none),
    map("map-anonymous-huge-pages", 0x200000, readWrite, anonymous | 0x40000, none),
    map("map-anonymous-grows-down", 0x1000, readWrite, anonymous | 0x100, none),
    map("map-no-file", 0x1000, readWrite, priv, none),
    map("map-protection-upper-bits", 0x1000, 1 << 32 | 7, anonymous, none),
  ]

  static let memory = [
    Attempt("mprotect-exec", 10, page, 4096, 5), Attempt("mprotect-write", 10, page, 4096, 3),
    Attempt("mprotect-write-exec", 10, page, 4096, 7), Attempt("pkey_mprotect", 329, page, 4096, 5, none),
    Attempt("pkey_alloc", 330), Attempt("mremap", 25, page, 4096, 4096), Attempt("madvise", 28, page, 4096, 0),
    Attempt("remap_file_pages", 216, page, 4096), Attempt("mlock", 149, page, 0), Attempt("mlockall", 151, 0),
    Attempt("mincore", 27, page, 4096, zeros), Attempt("shmget", 29, 0, 4096, 0),
    Attempt("shmat", 30, none), Attempt("semget", 64, 0, 0), Attempt("msgget", 68, 99),
    Attempt("process_vm_readv", 310, 1, zeros, 0, zeros, 0), Attempt("process_vm_writev", 311, 1, zeros, 0, zeros, 0),
    Attempt("process_madvise", 440, none, zeros, 0), Attempt("set_mempolicy", 238), Attempt("mbind", 237, page, 0),
    Attempt("modify_ldt", 154, 0, zeros, 16), Attempt("arch_prctl-gs", 158, 0x1004, zeros),
    Attempt("map_shadow_stack", 453, 0, 0, 0),
  ]

  /// A page that is mapped for reading and writing.
  private static var page: UInt { UInt(map("page", 4096, readWrite, anonymous, none).result()) }

  static let allowed = [
    map("map-first-range", 0x2000, readWrite, shared, 7, 0x2000),
    map("map-part-of-first-range", 0x1000, readWrite, shared, 7, 0x2000),
    map("map-first-range-read-only", 0x2000, read, shared, 7, 0x2000),
    map("map-second-range", 0x1000, readWrite, shared, 7, 0x8000),
    map("map-rings", 0x1000, readWrite, shared, 4), map("map-arena", 0x4000, readWrite, shared, 5),
    map("map-arena-populated", 0x4000, readWrite, shared | 0x8000, 5), map("map-payload", 0x1000, read, shared, 6),
    map("map-anonymous", 0x4000, readWrite, anonymous, none),
    Attempt("signal-call", 1, 96, one, 8), Attempt("drain-call", 0, 96, zeros, 8),
    Attempt("signal-kick", 1, 64, one, 8), Attempt("drain-kick", 0, 64, zeros, 8),
    Attempt("read-interrupt-16", 0, 16, zeros, 8), Attempt("read-interrupt-40", 0, 40, zeros, 8),
    Attempt("send-control", 44, 3, one, 8, 0x4040), Attempt("write-control", 1, 3, one, 8),
    Attempt("receive-control", 45, 3, zeros, 8, 0x40), Attempt("read-control", 0, 3, zeros, 8),
    Attempt("clock_gettime", 228, 1, zeros), Attempt("getrandom", 318, zeros, 8),
    Attempt("clock_nanosleep", 230, 1, 0, zeros), Attempt("prlimit64-read", 302, 0, 3, 0, zeros),
  ]

  private static var one: UInt {
    let one = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    one.pointee = 1
    return UInt(bitPattern: one)
  }
}
