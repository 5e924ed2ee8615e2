import CBulkhead
import Glibc
import Platform

/// Where the blocks of a namespace are: part of a file. A file that cannot shrink is mapped, and read as memory. Offsets
/// are in bytes from the start of the namespace and are checked by the caller.
///
/// Changes go through the kernel even then: it copies to a page as a whole before it ends a process, so that a block,
/// which lies in one page, is never in parts what it was and what it was to become, whenever the broker is killed. Of
/// several blocks some may be changed and some not.
struct BlockMedia: ~Copyable {
  private let file: Int32
  private let fileOffset: Int64
  /// Where the namespace begins in a mapping of the file, or nil.
  private let memory: UnsafeMutableRawPointer?
  let size: Int
  /// Whether a flush waits for the disk that holds the file.
  private let syncs: Bool

  /// `size` bytes of `file` from `offset`. File and mapping are the caller's and stay as long as this is in use.
  /// - Parameter mapping: the whole file, or nil to read and write it.
  init(file: Int32, mapping: UnsafeMutableRawPointer?, offset: Int, size: Int, syncs: Bool) {
    self.file = file
    fileOffset = Int64(offset)
    memory = mapping.map { $0 + offset }
    self.size = size
    self.syncs = syncs
  }

  /// From media to memory; false for an I/O error.
  func read(into parts: UnsafePointer<bh_part>, _ count: Int, at offset: Int, length: Int) -> Bool {
    guard let memory else {
      return bh_image_read(file, parts, Int32(count), fileOffset + Int64(offset)) == length
    }
    var from = memory + offset
    for index in 0..<count {
      parts[index].base.copyMemory(from: from, byteCount: parts[index].length)
      from += parts[index].length
    }
    return true
  }

  /// From memory to media; false for an I/O error.
  func write(from parts: UnsafePointer<bh_part>, _ count: Int, at offset: Int, length: Int) -> Bool {
    bh_image_write(file, parts, Int32(count), fileOffset + Int64(offset)) == length
  }

  func read(into base: UnsafeMutableRawPointer, at offset: Int, length: Int) -> Bool {
    var part = bh_part(base: base, length: length)
    return read(into: &part, 1, at: offset, length: length)
  }

  func write(from base: UnsafeMutableRawPointer, at offset: Int, length: Int) -> Bool {
    var part = bh_part(base: base, length: length)
    return write(from: &part, 1, at: offset, length: length)
  }

  /// Makes the range read as zeroes; `punch` gives its room back where that is possible.
  func zero(at offset: Int, length: Int, punch: Bool) -> Bool {
    if bh_image_zero(file, fileOffset + Int64(offset), Int64(length), punch ? 1 : 0) == 0 { return true }
    return writeZeroes(at: offset, length: length)
  }

  /// For filesystems that cannot zero a range by themselves.
  private func writeZeroes(at offset: Int, length: Int) -> Bool {
    let chunk = min(length, 65536)
    guard let zeroes = bh_image_memory(chunk) else { return false }
    defer { bh_image_free(zeroes, chunk) }
    var done = 0
    while done < length {
      let part = min(chunk, length - done)
      guard write(from: zeroes, at: offset + done, length: part) else { return false }
      done += part
    }
    return true
  }

  func sync() -> Bool { memory != nil || !syncs || bh_image_sync(file) == 0 }
}
