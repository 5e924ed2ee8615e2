import Glibc

/// A path that is gone when its owner is.
final class TemporaryFile {
  let path: String

  init() {
    var template = Array("/tmp/bulkhead-emulation-XXXXXX".utf8CString)
    close(mkstemp(&template))
    path = String(cString: template)
  }

  deinit { unlink(path) }
}
