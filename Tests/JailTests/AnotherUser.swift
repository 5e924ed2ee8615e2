import CBulkhead
import Glibc
import Platform

/// Why tests without root may not run here, or nil.
let noUserNamespaces: String? = {
  func value(_ path: String) -> Int? {
    let file = open("/proc/sys/\(path)", O_RDONLY)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var text = [UInt8](repeating: 0, count: 32)
    let length = max(0, read(file, &text, 32))
    return Int(String(decoding: text[..<length], as: UTF8.self).filter(\.isNumber))
  }
  if value("user/max_user_namespaces") == 0 { return "user.max_user_namespaces is 0" }
  if value("kernel/unprivileged_userns_clone") == 0 { return "kernel.unprivileged_userns_clone is 0" }
  if value("kernel/apparmor_restrict_unprivileged_userns") == 1 { return "AppArmor restricts user namespaces" }
  return nil
}()

/// Does something as a user who is not root: in a thread of its own, whose user nobody else shares.
enum AnotherUser {
  /// `nobody` if the test runs as root, otherwise the test's own user.
  static let number: UInt32 = isRoot ? 65534 : getuid()

  private final class Work {
    let body: () throws -> (Int32, Int32)
    var result: Result<(Int32, Int32), any Error>?
    init(_ body: @escaping () throws -> (Int32, Int32)) { self.body = body }

    func run() {
      result = Result {
        if isRoot {
          // Plain system calls: they change this thread and no other.
          try checked(bh_clear_groups(), "test", "drop groups")
          try checked(bh_set_gid(AnotherUser.number), "test", "become another group")
          try checked(bh_set_uid(AnotherUser.number), "test", "become another user")
          // The change of user has made /proc/self root's, as it is for no process that was started by a user.
          try checked(bh_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "test", "own /proc/self")
        }
        return try body()
      }
    }
  }

  static func run(_ body: () throws -> (Int32, Int32)) throws -> (Int32, Int32) {
    try withoutActuallyEscaping(body) { body in
      let work = Work(body)
      var thread = pthread_t()
      let made = pthread_create(
        &thread, nil,
        { place in
          Unmanaged<Work>.fromOpaque(place!).takeUnretainedValue().run()
          return nil
        }, Unmanaged.passUnretained(work).toOpaque())
      guard made == 0 else { throw Failure("test", "start a thread", errno: made) }
      pthread_join(thread, nil)
      guard let result = work.result else { throw Failure("test", "run as another user") }
      return try result.get()
    }
  }
}
