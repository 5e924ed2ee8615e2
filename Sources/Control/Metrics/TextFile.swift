import Glibc
import Platform

/// A file that others read at any time.
public enum TextFile {
  /// Puts `text` into a file, whole or not at all: it is written beside it, made durable, and takes its name. Everybody may
  /// read it. What its name was before, a symbolic link too, is replaced.
  ///
  /// The temporary file begins with a dot and does not end like the other, so that who collects `*.prom` leaves it alone.
  /// - Throws: ``Failure`` `text-file`.
  public static func replace(_ path: String, with text: String) throws(Failure) {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    let name = path.dropFirst(folder.count)
    guard !name.isEmpty, name != ".", name != ".." else {
      throw Failure("text-file", "write \(path)", errno: EISDIR, hint: "name a file, such as \(path)/bulkhead.prom")
    }
    var template = Array("\(folder).\(name).XXXXXX".utf8CString)
    let file = mkstemp(&template)
    let temporary = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    guard file >= 0 else { throw failure(path, errno) }
    var error = write(text, to: file)
    // mkstemp(3) gives it to its owner alone.
    if error == 0, fchmod(file, 0o644) != 0 { error = errno }
    if error == 0, fsync(file) != 0 { error = errno }
    if close(file) != 0, error == 0 { error = errno }
    if error == 0, rename(temporary, path) != 0 { error = errno }
    guard error == 0 else {
      unlink(temporary)
      throw failure(path, error)
    }
    let directory = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { return }
    // The name is there already; without this a power failure may take it back to the former text, which was whole too.
    _ = fsync(directory)
    close(directory)
  }

  private static func write(_ text: String, to file: Int32) -> Int32 {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { return written < 0 ? errno : EIO }
      rest = rest.dropFirst(written)
    }
    return 0
  }

  private static func failure(_ path: String, _ errno: Int32) -> Failure {
    let hint =
      switch errno {
      case ENOENT, ENOTDIR: "its folder must be there"
      case EISDIR: "name a file, such as \(path)/bulkhead.prom"
      case EACCES, EPERM, EROFS: "choose a folder that you may write to, or run the command as root"
      default: ""
      }
    return Failure("text-file", "write \(path)", errno: errno, hint: hint)
  }
}
