import Glibc
import Platform

/// Small files, as text.
enum FileText {
  enum Result {
    case text(String)
    case missing
    case unreadable(String)
  }

  /// Reads a file of at most `limit` bytes.
  static func read(_ path: String, limit: Int) -> Result {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else {
      return errno == ENOENT ? .missing : .unreadable(String(cString: strerror(errno)))
    }
    defer { Descriptor.close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 * 1024)
    while true {
      let count = Glibc.read(file, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return .unreadable(String(cString: strerror(errno))) }
      if count == 0 { break }
      bytes += chunk[..<count]
      guard bytes.count <= limit else { return .unreadable("it has more than \(limit) bytes") }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { return .unreadable("it is not UTF-8") }
    return .text(text)
  }

  /// The text of a small file of the kernel; nil if it cannot be read.
  static func contents(_ path: String) -> String? {
    guard case .text(let text) = read(path, limit: 4 << 20) else { return nil }
    return text
  }

  /// Writes a text over a file that exists or into a new one; the errno if that fails.
  static func write(_ text: String, to path: String, mode: mode_t = 0o600) -> Int32 {
    let file = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard file >= 0 else { return errno }
    defer { Descriptor.close(file) }
    let bytes = Array(text.utf8)
    let count = Glibc.write(file, bytes, bytes.count)
    return count == bytes.count ? 0 : (count < 0 ? errno : ENOSPC)
  }

  /// Writes a file so that a crash leaves either the old text or the new one.
  static func replace(_ path: String, with text: String) -> Int32 {
    let temporary = path + ".new"
    let error = write(text, to: temporary)
    guard error == 0 else { return error }
    return rename(temporary, path) == 0 ? 0 : errno
  }

  /// The first half of writing a file such that a power loss leaves either the old text or the new one: the text is on the
  /// disk afterwards, under another name. ``commit(_:)`` or ``discard(_:)`` follows.
  /// - Returns: the errno, or 0.
  static func stage(_ path: String, _ text: String, mode: mode_t = 0o644) -> Int32 {
    let temporary = path + ".new"
    unlink(temporary)
    let error = write(text, to: temporary, mode: mode)
    guard error == 0 else {
      unlink(temporary)
      return error
    }
    return synchronize(temporary)
  }

  /// Puts a staged text in its place.
  /// - Returns: the errno, or 0.
  static func commit(_ path: String) -> Int32 {
    guard rename(path + ".new", path) == 0 else { return errno }
    return synchronize(folder(of: path))
  }

  static func discard(_ path: String) { unlink(path + ".new") }

  /// Removes a file for good; one that is not there is fine.
  /// - Returns: the errno, or 0.
  static func removeDurably(_ path: String) -> Int32 {
    guard unlink(path) == 0 || errno == ENOENT else { return errno }
    return synchronize(folder(of: path))
  }

  private static func synchronize(_ path: String) -> Int32 {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return errno }
    defer { Descriptor.close(file) }
    return fsync(file) == 0 ? 0 : errno
  }

  /// The names in a directory, sorted; empty if there is none.
  static func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(cString: $0.bindMemory(to: CChar.self).baseAddress!)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Whether it is ours and nobody else may write to it; false for a link.
  static func isOwn(_ path: String) -> Bool {
    var found = stat()
    return lstat(path, &found) == 0 && found.st_uid == geteuid() && found.st_mode & S_IFMT != S_IFLNK
      && found.st_mode & 0o022 == 0
  }

  static func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }
}

extension FileText {
  /// The folder that a file is in.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Without the folders.
  static func name(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  static func remove(_ path: String) { unlink(path) }

  /// Makes a directory and those above it; the errno if that fails. A path that does not begin at the root begins at the
  /// working directory.
  static func makeDirectories(_ path: String, mode: mode_t = 0o755) -> Int32 {
    let parts = path.split(separator: "/")
    guard !parts.isEmpty else { return path.isEmpty ? ENOENT : 0 }
    var made = path.hasPrefix("/") ? "" : "."
    for (index, part) in parts.enumerated() {
      made += "/\(part)"
      if mkdir(made, index == parts.count - 1 ? mode : 0o755) != 0, errno != EEXIST { return errno }
    }
    return 0
  }

  /// Makes a symbolic link, over one that exists; never over anything else.
  static func link(_ path: String, to target: String) -> Int32 {
    var found = stat()
    if lstat(path, &found) == 0 {
      guard found.st_mode & S_IFMT == S_IFLNK else { return EEXIST }
      unlink(path)
    }
    return symlink(target, path) == 0 ? 0 : errno
  }
}

extension FileText {
  /// The first bytes of a file; nil if it has fewer or cannot be read.
  static func firstBytes(_ count: Int, of path: String) -> [UInt8]? {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { Descriptor.close(file) }
    var bytes = [UInt8](repeating: 0, count: count)
    return Glibc.read(file, &bytes, count) == count ? bytes : nil
  }

  /// Copies of open files, close-on-exec; the caller closes them.
  static func duplicates(of files: [Int32]) -> [Int32] {
    files.map { fcntl($0, F_DUPFD_CLOEXEC, 0) }.filter { $0 >= 0 }
  }
}

extension FileText {
  /// Opens a file or directory for reading, close-on-exec.
  /// - Throws: ``Failure`` with `code`.
  static func open(_ path: String, _ code: String, hint: String = "") throws(Failure) -> Descriptor {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Failure(code, "open \(path)", errno: errno, hint: hint) }
    return Descriptor(owning: file)
  }
}
