import Glibc

/// Which file a name or an open file stands for: names may differ.
struct FileIdentity: Hashable {
  private let device: dev_t
  private let inode: ino_t

  /// Nil where there is none.
  init?(of path: String) {
    var found = stat()
    guard stat(path, &found) == 0 else { return nil }
    (device, inode) = (found.st_dev, found.st_ino)
  }

  init?(of file: Int32) {
    var found = stat()
    guard fstat(file, &found) == 0 else { return nil }
    (device, inode) = (found.st_dev, found.st_ino)
  }
}
