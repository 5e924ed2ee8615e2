import CBulkhead
import Glibc
import Testing

/// A process that confines itself, as a broker does: without a user namespace, and with each lock tried on its own,
/// under a filter that permits the call.
@Suite("Confinement of a running process", .enabled(if: isRoot, Comment(rawValue: needsRoot)))
struct ConfinementTests {
  static let outcomes: [String: Int] = {
    guard isRoot, let log = try? JailedProcess(["locks"], jailed: false).readLog() else { return [:] }
    return Dictionary(uniqueKeysWithValues: Outcome.parse(log, "lock").map { ($0.name, $0.result) })
  }()

  @Test(
    "a lock holds",
    arguments: [
      ("open-passwd", -ENOENT),  // the root is empty
      ("mkdir", -EROFS),  // and read-only
      ("mount", -EPERM), ("setuid", -EPERM), ("unshare", -EPERM),  // no capabilities
      ("ioctl", -EPERM),  // not in the policy
    ])
  func lock(_ name: String, _ result: Int32) {
    #expect(Self.outcomes[name] == Int(result))
  }

  @Test("Landlock refuses paths", .enabled(if: bh_landlock_abi() >= 1, "no Landlock in this kernel"))
  func landlock() {
    #expect(Self.outcomes["open-root"] == Int(-EACCES))
  }

  @Test("Landlock refuses ports", .enabled(if: bh_landlock_abi() >= 4, "Landlock of this kernel knows no ports"))
  func landlockPorts() {
    #expect(Self.outcomes["bind"] == Int(-EACCES))
  }
}
