import Foundation
import Testing

/// What /proc says about a driver that runs, seen by root from outside.
@Suite("The standing of a jailed process", .enabled(if: isRoot, Comment(rawValue: needsRoot)))
struct StandingTests {
  let process: JailedProcess
  let status: [String: String]

  init() throws {
    process = try JailedProcess(["wait"], extraFile: true)
    status = try process.standing()
  }

  @Test("the open files are those of the manifest, no more and no less")
  func openFiles() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/fd")
    #expect(names.compactMap { Int32($0) }.sorted() == [2, 3] + JailedProcess.files)
  }

  @Test("every namespace is its own", arguments: ["user", "mnt", "net", "ipc", "uts", "cgroup", "pid"])
  func namespace(_ name: String) throws {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process.pid)/ns/\(name)")
    let parents = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/\(name)")
    #expect(own != parents)
  }

  @Test("no capability, in any set", arguments: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
  func capabilities(_ name: String) {
    #expect(status[name] == "0000000000000000")
  }

  @Test("no_new_privs is set") func noNewPrivileges() { #expect(status["NoNewPrivs"] == "1") }

  @Test("one seccomp filter is on")
  func seccomp() {
    #expect(status["Seccomp"] == "2")
    #expect(status["Seccomp_filters"] ?? "1" == "1")
  }

  @Test("user and group are the given ones, and there are no others")
  func identity() {
    let user = "\(JailedProcess.user)"
    let all = Array(repeating: user, count: 4).joined(separator: "\t")
    #expect(status["Uid"] == all)
    #expect(status["Gid"] == all)
    #expect(status["Groups"] == "")
    let map = try? String(contentsOfFile: "/proc/\(process.pid)/uid_map", encoding: .utf8)
    #expect(map?.split(whereSeparator: \.isWhitespace).map(String.init) == ["65534", user, "1"])
  }

  @Test("it is process 1 of its own, with one thread")
  func processes() {
    #expect(status["NSpid"]?.hasSuffix("\t1") == true)
    #expect(status["Threads"] == "1")
  }

  @Test("the root is empty, read-only, and the only mount")
  func root() throws {
    #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/root/") == [])
    let mounts = try String(contentsOfFile: "/proc/\(process.pid)/mountinfo", encoding: .utf8).split(separator: "\n")
    try #require(mounts.count == 1)
    let fields = mounts[0].split(separator: " ")
    #expect(fields[4] == "/")
    #expect(Set(fields[5].split(separator: ",")).isSuperset(of: ["ro", "nosuid", "nodev", "noexec"]))
    #expect(mounts[0].contains(" - tmpfs "))
    #expect(mkdir("/proc/\(process.pid)/root/x", 0o700) == -1)
    #expect(errno == EROFS)
  }

  @Test("there is no network but a loopback that is down")
  func network() throws {
    let devices = try String(contentsOfFile: "/proc/\(process.pid)/net/dev", encoding: .utf8)
    #expect(devices.split(separator: "\n").dropFirst(2).allSatisfy { $0.contains("lo:") })
    let addresses = try String(contentsOfFile: "/proc/\(process.pid)/net/if_inet6", encoding: .utf8)
    #expect(addresses == "")
  }

  @Test(
    "a limit holds",
    arguments: [
      ("Max core file size", "1"), ("Max open files", "128"), ("Max locked memory", "0"), ("Max file size", "0"),
      ("Max processes", "1"), ("Max realtime priority", "0"), ("Max msgqueue size", "0"),
    ])
  func limit(_ name: String, _ value: String) throws {
    let limits = try String(contentsOfFile: "/proc/\(process.pid)/limits", encoding: .utf8)
    let line = try #require(limits.split(separator: "\n").first { $0.hasPrefix(name) })
    let fields = line.dropFirst(name.count).split(separator: " ")
    #expect(fields[0] == value)
    #expect(fields[1] == value)
  }

  @Test("the OOM killer takes it first")
  func outOfMemory() throws {
    let score = try String(contentsOfFile: "/proc/\(process.pid)/oom_score_adj", encoding: .utf8)
    #expect(score == "500\n")
  }

  @Test("it ends when the broker hangs up, if it wants")
  func end() {
    process.hangUp()
    #expect(process.exitStatus == 0)
  }
}

extension JailedProcess {
  /// The lines of /proc/PID/status, once the probe runs.
  func standing() throws -> [String: String] {
    let log = readLog()
    try #require(log == ["ready"], "the probe did not start: \(log)")
    let text = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
    var status: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { status[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces) }
    }
    return status
  }
}
