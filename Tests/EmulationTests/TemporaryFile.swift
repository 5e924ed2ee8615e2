import Glibc

/// A path that is gone when its owner is.
final class TemporaryFile {
  let path: String

  init() {
    var template = Array("/tmp/bulkhead-emulation-XXXXXX".utf8CString)
    close(mkstemp(&template))
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { unlink(path) }
}
