import Glibc

@testable import Supervisor

/// A folder of a test, gone with all that is in it when the test is over.
final class TemporaryFolder {
  let path: String

  init() {
    var template = Array("/tmp/bulkhead-test-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit { TemporaryFolder.remove(path) }

  /// Makes a file and the folders that lead to it.
  @discardableResult
  func put(_ name: String, _ text: String = "", mode: mode_t = 0o644) -> String {
    let file = "\(path)/\(name)"
    precondition(FileText.makeDirectories(FileText.folder(of: file)) == 0)
    precondition(FileText.write(text, to: file, mode: mode) == 0)
    return file
  }

  private static func remove(_ path: String) {
    for name in FileText.names(in: path) where unlink("\(path)/\(name)") != 0 { remove("\(path)/\(name)") }
    rmdir(path)
  }
}
