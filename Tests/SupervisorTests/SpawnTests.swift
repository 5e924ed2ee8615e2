import CBulkhead
import Glibc
import Platform
import Testing

@testable import Supervisor

@Suite struct SpawnTests {
  /// Some systems forbid user namespaces to all but root, some to all.
  static let canMakeUserNamespaces = (try? run("true", newUserNamespace: true).end)?.status == 0

  /// Runs a shell command; what it prints, and how it ended.
  private static func run(
    _ command: String, newUserNamespace: Bool
  ) throws -> (text: String, end: ProcessEnd) {
    var ends: [Int32] = [-1, -1]
    try checked(bh_log_pipe(&ends), "log-pipe", "make a pipe")
    defer { close(ends[0]) }
    let loop = EventLoop()
    var end: ProcessEnd?
    let child = try ChildProcess(
      ChildProcess.Specification(
        executable: "/bin/sh", arguments: ["sh", "-c", command], files: [-1, ends[1]],
        newPIDNamespace: newUserNamespace, newUserNamespace: newUserNamespace),
      loop: loop
    ) {
      end = $0
      loop.stop()
    }
    close(ends[1])
    try withExtendedLifetime(child) { try loop.run() }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = max(0, read(ends[0], &bytes, bytes.count))
    return (String(decoding: bytes[..<count], as: UTF8.self), try #require(end))
  }

  @Test(.enabled(if: canMakeUserNamespaces)) func aChildIsRootInAUserNamespaceOfItsOwn() throws {
    let (text, end) = try SpawnTests.run(
      "id -u; id -g; echo $$; cat /proc/self/uid_map; grep CapEff /proc/self/status", newUserNamespace: true)
    #expect(end == ProcessEnd(status: 0, isKilled: false))
    let lines = text.split(separator: "\n")
    try #require(lines.count == 5)
    #expect(lines[..<3] == ["0", "0", "1"])
    #expect(lines[3].split(separator: " ") == ["0", "\(geteuid())", "1"])
    #expect(lines[4].split(separator: "\t").last != "0000000000000000")
  }

  @Test func otherwiseItIsWhoWeAre() throws {
    let (text, end) = try SpawnTests.run("id -u", newUserNamespace: false)
    #expect(end == ProcessEnd(status: 0, isKilled: false))
    #expect(text == "\(geteuid())\n")
  }

  @Test func theJailIsToldWhomTheDriverBecomes() {
    let option = DeviceSettings.Option(name: "queues", value: "2", location: SourceLocation(file: "f"))
    #expect(
      JailCommand.arguments("nvme", user: .of(1_879_048_193), options: [option])
        == ["bulkhead-jail", "--uid", "1879048193", "--", "nvme", "queues=2"])
    #expect(
      JailCommand.arguments("nvme", user: .ours, options: []) == ["bulkhead-jail", "--unprivileged", "--", "nvme"])
  }

  @Test(arguments: [
    ("         0          0 4294967295\n", true),
    ("         0       1000          1\n", false),
    ("         0       1000          1\n         1     100000      65536\n", false),
    ("0 0 1879048192\n1879048192 5 100663296\n", true),
    ("", false),
  ])
  func usersOfDevicesMustBeThere(_ map: String, _ expected: Bool) {
    #expect(ProcessUser.areMapped(by: map) == expected)
  }
}
