import CBulkhead
import Glibc
import Platform

/// Where the blocks of a namespace are: part of a file, or memory. Offsets are in bytes from the start of the namespace
/// and are checked by the caller.
struct BlockMedia: ~Copyable {
  /// -1 for memory.
  private let file: Int32
  private let fileOffset: Int64
  private let memory: UnsafeMutableRawPointer?
  let size: Int
  /// Whether a flush waits for the disk that holds the file.
  private let syncs: Bool

  /// Anonymous memory, zeroed.
  /// - Throws: `emulated-memory`.
  init(memory size: Int) throws(Failure) {
    guard let base = bh_image_memory(size) else {
      throw Failure("emulated-memory", "reserve \(size) bytes for the emulated disk", errno: ENOMEM)
    }
    memory = base
    file = -1
    fileOffset = 0
    self.size = size
    syncs = false
  }

  /// `size` bytes of `file` from `offset`. The file is the caller's and stays open as long as this is in use.
  init(file: Int32, offset: Int64, size: Int, syncs: Bool) {
    self.file = file
    fileOffset = offset
    memory = nil
    self.size = size
    self.syncs = syncs
  }

  deinit { if let memory { bh_image_free(memory, size) } }

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
    guard let memory else {
      return bh_image_write(file, parts, Int32(count), fileOffset + Int64(offset)) == length
    }
    var to = memory + offset
    for index in 0..<count {
      to.copyMemory(from: parts[index].base, byteCount: parts[index].length)
      to += parts[index].length
    }
    return true
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
    guard let memory else {
      let start = fileOffset + Int64(offset)
      if bh_image_zero(file, start, Int64(length), punch ? 1 : 0) == 0 { return true }
      return writeZeroes(at: offset, length: length)
    }
    let start = memory + offset
    let firstPage = roundedToPages(offset)
    let lastPage = (offset + length) & ~(pageSize - 1)
    if punch, firstPage < lastPage {
      start.initializeMemory(as: UInt8.self, repeating: 0, count: firstPage - offset)
      bh_image_forget(memory + firstPage, lastPage - firstPage)
      (memory + lastPage).initializeMemory(as: UInt8.self, repeating: 0, count: offset + length - lastPage)
    } else {
      start.initializeMemory(as: UInt8.self, repeating: 0, count: length)
    }
    return true
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
