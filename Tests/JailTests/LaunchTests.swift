import Foundation
import Jail
import Platform
import Protocol
import Testing

/// Starts that go well, and starts that do not.
@Suite("Launching", .enabled(if: isRoot, Comment(rawValue: needsRoot)))
struct LaunchTests {
  @Test("arguments arrive, the supervisor's environment does not")
  func environment() throws {
    let log = try JailedProcess(["environment", "a b", "--uid"]).readLog()
    #expect(
      log == [
        "environment SWIFT_ROOT=/", "argument probe", "argument environment", "argument a b", "argument --uid",
        // The filter leaves a driver without getuid and getpid.
        "identity \(UInt32.max) -1", "ready",
      ])
  }

  @Test("a trap in the driver is told on the log and kills it")
  func crash() throws {
    let process = try JailedProcess(["crash"])
    #expect(process.readLog().contains { $0.contains("Fatal error: as asked") })
    #expect(process.exitStatus & 0x7f == SIGILL)
  }

  @Test("the address space is limited")
  func addressSpace() throws {
    let options = ["--uid", "\(JailedProcess.user)", "--address-space", "\(64 << 20)", "--memlock", "4096"]
    let process = try JailedProcess(["wait"], options: options)
    try #require(process.readLog() == ["ready"])
    let limits = try String(contentsOfFile: "/proc/\(process.pid)/limits", encoding: .utf8)
    #expect(limits.contains(/Max address space +67108864 +67108864/))
    #expect(limits.contains(/Max locked memory +4096 +4096/))
  }

  @Test("bad arguments end it with status 64 and the usage")
  func badArguments() throws {
    let process = try JailedProcess([], options: ["--uid", "0"])
    let log = process.readLog()
    #expect(log.first == "bulkhead-jail: --uid \"0\" is not a number from 1000 to 4294967294")
    #expect(process.exitStatus >> 8 == JailArguments.usageStatus)
  }

  @Test("an executable that cannot be executed ends it with the step's status, and says why")
  func notExecutable() throws {
    let process = try JailedProcess([], executable: "/proc/self/status")
    let log = process.readLog()
    #expect(log.count == 1)
    #expect(log.first?.hasPrefix("bulkhead-jail: jail-exec: execute probe: EACCES Permission denied (") == true)
    #expect(process.exitStatus >> 8 == ConfinementStep.exec.rawValue)
  }
}
