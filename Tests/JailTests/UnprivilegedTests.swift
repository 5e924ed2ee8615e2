import Foundation
import Jail
import Testing

/// A jail that is put on by a user: the same walls, in a user namespace of its own.
@Suite(
  "A jail without root", .enabled(if: noUserNamespaces == nil, Comment(rawValue: noUserNamespaces ?? "")))
struct UnprivilegedTests {
  static let attempts: [String] =
    noUserNamespaces == nil
    ? ((try? JailedProcess(["attempts", "jailed"], unprivileged: true))?.readLog() ?? []) : []

  @Test("denied with EPERM, as in a jail by root", arguments: Outcome.parse(attempts, "deny"))
  func denied(_ outcome: Outcome) {
    #expect(outcome.result == Int(-EPERM))
  }

  @Test("permitted, as in a jail by root", arguments: Outcome.parse(attempts, "allow"))
  func permitted(_ outcome: Outcome) {
    #expect(outcome.result >= 0 || outcome.result == Int(-EAGAIN))
  }

  @Test("the probe got to the end of its list") func complete() { #expect(Self.attempts.last == "ready") }

  @Test("capabilities, namespaces, filter and root are those of any jail; the user is not")
  func standing() throws {
    let process = try JailedProcess(["wait"], unprivileged: true, extraFile: true)
    let status = try process.standing()
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] { #expect(status[name] == "0000000000000000") }
    #expect(status["NoNewPrivs"] == "1")
    #expect(status["Seccomp"] == "2")
    #expect(status["Threads"] == "1")
    // Two namespaces down: the spawner's, where it is process 1, and the jail's.
    #expect(status["NSpid"]?.hasSuffix("\t1") == true)
    #expect(status["Uid"] == Array(repeating: "\(AnotherUser.number)", count: 4).joined(separator: "\t"))
    guard isRoot else { return }
    for name in ["user", "mnt", "net", "ipc", "uts", "cgroup", "pid"] {
      let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process.pid)/ns/\(name)")
      #expect(own != (try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/\(name)")))
    }
    let files = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/fd")
    #expect(files.compactMap { Int32($0) }.sorted() == [2, 3] + JailedProcess.files)
    #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/root/") == [])
    let mounts = try String(contentsOfFile: "/proc/\(process.pid)/mountinfo", encoding: .utf8)
    #expect(mounts.split(separator: "\n").count == 1)
  }
}
