import Campaign
import Glibc
import Testing

/// A device that misbehaves, and what the user may see of it. docs/emulation.md has the same as a table.
struct Case: Sendable, CustomTestStringConvertible {
  enum Result: Sendable {
    /// The campaign ends well; some of its requests may have been answered with these errors.
    case served(errors: Set<UInt32>)
    /// The disk is never offered, or no more; it is in this state, and its requests wait for the administrator.
    case withheld(state: String)
  }

  var misbehaviour: String
  var result: Result
  /// Bytes of the disk.
  var size = "4M"
  var options = ""

  init(_ misbehaviour: String, _ result: Result = .served(errors: []), options: String = "") {
    self.misbehaviour = misbehaviour
    self.result = result
    self.options = options
  }

  var testDescription: String { misbehaviour }
}

@Suite struct MisbehaviourTests {
  static let cases = [
    // Commands fail: what may be retried is; what may not is the user's EIO.
    Case("bad-status:code=0x281:chance=0.05:on=read"),
    Case("bad-status:code=0x280:chance=0.05:on=write"),
    Case("bad-status:code=0x4281:chance=0.05:on=read", .served(errors: [5])),
    Case("bad-status:code=0x4280:chance=0.05:on=write", .served(errors: [5])),
    Case("bad-status:code=6:every=3:on=flush"),
    Case("bad-status:code=0x4006:every=3:on=flush", .served(errors: [5])),
    // Completions that are lost, repeated, late or of nobody.
    Case("unknown-id:after=200:every=200:on=io"),
    Case("duplicate:every=20:on=io"),
    Case("late:by=50ms:every=50:on=io"),
    Case("late:by=450ms:every=400:on=io"),
    Case("wrong-phase:after=200:every=400:on=io"),
    Case("bad-head:every=10:on=io"),
    // Interrupts.
    Case("lost-interrupt:every=50"),
    Case("spurious-interrupt:every=20"),
    Case("repeated-interrupt:every=20"),
    // The controller as a whole.
    Case("stall:after=300:for=300ms:on=io:count=3"),
    Case("stall:after=300:on=io"),
    Case("fatal:after=300:on=io:count=2"),
    Case("never-ready:count=1"),
    // What it had in its cache may be gone, which the next flush says.
    Case("vanish:after=300:for=300ms:on=io", .served(errors: [5])),
    Case("vanish:after=300:on=io", .withheld(state: "quarantined")),
    Case("never-ready", .withheld(state: "quarantined")),
    // Lies of Identify.
    Case("identify:blocks=4096"),
    Case("identify:blocks=1000000", .withheld(state: "quarantined")),
    Case("identify:blocks=0", .withheld(state: "quarantined")),
    Case("identify:lbads=12", .withheld(state: "quarantined")),
    Case("identify:lbads=9", .withheld(state: "quarantined"), options: "lba=4096,"),
    Case("identify:lbads=3", .withheld(state: "quarantined")),
    Case("identify:lbads=63", .withheld(state: "quarantined")),
    Case("identify:mdts=1"),
    Case("identify:mdts=0"),
    Case("identify:mdts=255"),
    Case("identify:namespaces=0"),
    Case("identify:namespaces=4294967295"),
    Case("identify:format=7", .withheld(state: "quarantined")),
    Case("identify:entries=0"),
    Case("identify:entries=255"),
  ]

  /// What keeps failing is quarantined: after so many restarts, or after four violations.
  private static func policy(burst: Int) -> String {
    """
    restart = { delay = "1ms", max-delay = "10ms", burst = \(burst), interval = "60s" }
    heartbeat = { interval = "100ms", timeout = "1s", start = "5s" }
    options = { timeout-ms = "200" }
    """
  }

  @Test(arguments: cases) func theUserSeesAnErrorOrNothing(_ example: Case) throws {
    let emulation = "size=4M,atomic=8,\(example.options)misbehave=\(example.misbehaviour)"
    switch example.result {
    case .served(let errors):
      let native = try Native(emulation, policy: Self.policy(burst: 500))
      let result = try native.campaign {
        $0.atomicSize = 4096
        $0.allowsErrors = !errors.isEmpty
      }
      #expect(result.isRight, "\(result.description)\n\(native.log)")
      #expect(Set(result.summary.errors.keys) == errors)
      #expect(result.summary.disconnects == 0)
      #expect(native.stop() == 0)
    case .withheld(let state):
      let native = try Native(emulation, policy: Self.policy(burst: 5), waits: false)
      var result: CampaignResult?
      // It may serve for a while.
      if example.misbehaviour.contains("after=") {
        result = try native.campaign { $0.deadline = 3_000_000_000 }
        #expect(result?.failure?.code == "campaign-hang")
        #expect(result?.summary.violationCount == 0)
      }
      try native.eventually(state) { try native.status()?.state == state }
      // The way out: stopping gives the clients back.
      #expect(try native.control("stop", "disk").status == 0, "\(native.log)")
      #expect(try native.status()?.state == "idle")
      #expect(native.stop() == 0)
    }
  }

  /// Unflushed writes may go, nothing else, and nothing within the atomic unit in part.
  @Test(arguments: 1...3) func powerLoss(seed: Int) throws {
    let native = try Native(
      "size=4M,atomic=8,journal=on,seed=\(seed),misbehave=power-loss:after=300:every=300:count=4:on=io",
      policy: Self.policy(burst: 500))
    let result = try native.campaign(seed: UInt64(seed), connections: 1) {
      $0.atomicSize = 4096
      $0.losesPower = true
      $0.allowsErrors = true
      $0.operations = 2000
    }
    #expect(result.isRight, "\(result.description)\n\(native.log)")
    // A loss of power is told with the next flush, and with nothing else.
    #expect(Set(result.summary.errors.keys) == [5])
    #expect(try #require(try native.status()).generation == 5)
    #expect(native.stop() == 0)
  }
}
