import Campaign
import Platform
import Testing

/// The campaign against servers that lie: it must find each lie, and nothing where there is none.
@Suite struct CampaignTests {
  private func campaign(
    _ server: LyingServer, seed: UInt64 = 3, _ adjust: (inout CampaignOptions) -> Void = { _ in }
  ) throws -> (CampaignSummary, Failure?) {
    var options = CampaignOptions()
    options.seed = seed
    options.range = LyingServer.size
    options.operations = 2500
    options.depth = 8
    adjust(&options)
    let target = try NBDTarget(socket: server.path, name: "", connections: 1)
    let campaign = try Campaign(
      options, target: target, canForceUnitAccess: target.canForceUnitAccess, assailant: nil, report: { _ in })
    var failure: Failure?
    do { try campaign.run() } catch { failure = error }
    return (campaign.summary, failure)
  }

  @Test func anHonestServerIsRight() throws {
    let server = try LyingServer(.none)
    for (losesPower, atomicSize) in [(false, 4096), (true, 4096), (false, 0)] {
      let (summary, failure) = try campaign(server) {
        $0.losesPower = losesPower
        $0.atomicSize = atomicSize
      }
      #expect(failure == nil)
      #expect(summary.violations.isEmpty)
      #expect(summary.sectorsChecked > 10_000)
    }
  }

  @Test(arguments: [
    LyingServer.Lie.droppedWrite, .tornWrite, .tornSector, .lateWrite, .misplacedWrite, .noZeroes, .staleRead,
    .wrongBit,
    .powerLossKeptSecret,
  ])
  func findsTheLie(_ lie: LyingServer.Lie) throws {
    let server = try LyingServer(lie)
    let (summary, _) = try campaign(server)
    #expect(summary.violationCount > 0)
    // And says where: a lie has a place.
    #expect(summary.violations.first?.expected.isEmpty == false)
  }

  @Test(arguments: [
    (LyingServer.Lie.powerLoss, 0, true), (.powerLoss, 4096, true), (.powerLossNoFlush, 0, false),
    (.powerLossNoFUA, 0, false), (.powerLossKeptSecret, 0, false), (.powerLossTorn, 0, true),
    (.powerLossTorn, 4096, false),
  ])
  func knowsWhatAPowerLossMayTake(_ lie: LyingServer.Lie, atomicSize: Int, isRight: Bool) throws {
    let server = try LyingServer(lie)
    let (summary, _) = try campaign(server) {
      $0.losesPower = true
      $0.allowsErrors = true
      $0.atomicSize = atomicSize
    }
    #expect((summary.violationCount == 0) == isRight, "\(summary.violations.first.debugDescription)")
  }

  @Test func silenceIsAHang() throws {
    let server = try LyingServer(.silence)
    let (summary, failure) = try campaign(server) { $0.deadline = 300_000_000 }
    #expect(failure?.code == "campaign-hang")
    #expect(summary.violations.isEmpty)
  }

  @Test func errorsAreAnswersWhereTheyAreAllowed() throws {
    let server = try LyingServer(.error)
    let refused = try campaign(server).1
    #expect(refused?.code == "campaign-io", "\(refused.debugDescription)")
    let (summary, failure) = try campaign(server) { $0.allowsErrors = true }
    #expect(failure == nil)
    #expect(summary.errors[5] ?? 0 > 10)
    #expect(summary.violations.isEmpty, "\(summary.violations)")
  }

  @Test func aSeedMakesTheSamePlan() {
    let make = { (seed: UInt64) in
      var plan = Plan(
        seed: seed, sectors: 4096, blockSize: 512, kinds: Set(Operation.Kind.allCases), canForceUnitAccess: true)
      return (0..<1000).map { _ in plan.next() }
    }
    #expect(make(5) == make(5))
    #expect(make(5) != make(6))
    #expect(make(5).allSatisfy { $0.first + $0.count <= 4096 })
    #expect(Set(make(5).map(\.kind)) == Set(Operation.Kind.allCases))
  }
}
