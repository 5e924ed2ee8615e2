import CBulkhead
import Glibc

/// The size of a page, in bytes.
public let pageSize = Int(getpagesize())

/// `size` rounded up to whole pages, in bytes.
public func roundedToPages(_ size: Int) -> Int { (size + pageSize - 1) & ~(pageSize - 1) }

/// Part of a file mapped shared and writable into this process; unmapped when its owner goes away.
public struct MappedMemory: ~Copyable, @unchecked Sendable {
  /// The first byte.
  public let base: UnsafeMutableRawPointer
  /// Length in bytes.
  public let length: Int

  /// Maps `length` bytes of `file` from `offset`.
  /// - Throws: ``Failure`` `mmap`.
  public init(file: Int32, offset: UInt64 = 0, length: Int, writable: Bool = true) throws(Failure) {
    let protection = writable ? PROT_READ | PROT_WRITE : PROT_READ
    guard let base = mmap(nil, length, protection, MAP_SHARED, file, off_t(Int64(bitPattern: offset))),
      base != MAP_FAILED
    else {
      throw Failure(
        "mmap", "map \(length) bytes of file \(file) at offset 0x\(String(offset, radix: 16))", errno: errno)
    }
    self.base = base
    self.length = length
  }

  deinit { munmap(base, length) }
}

/// A sealed, zeroed memfd with its mapping in this process: an arena, or the memory of virtqueues.
///
/// It can be neither shrunk nor grown by anybody, so a peer cannot turn an access into SIGBUS.
public struct SharedMemory: ~Copyable, Sendable {
  /// The memfd, to be passed to a peer.
  public let file: Descriptor
  /// The mapping in this process.
  public let mapping: MappedMemory

  /// - Parameter size: bytes; rounded up to whole pages.
  /// - Throws: ``Failure`` `memfd` or `mmap`.
  public init(name: String, size: Int) throws(Failure) {
    let length = roundedToPages(size)
    let memfd = Descriptor(
      owning: try checked(bh_memfd_sealed(name, UInt64(length)), "memfd", "create \(name) of \(length) bytes"))
    mapping = try MappedMemory(file: memfd.number, length: length)
    file = memfd
  }
}
