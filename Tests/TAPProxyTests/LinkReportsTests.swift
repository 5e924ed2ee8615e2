import Platform
import Protocol
import Testing

@testable import TAPProxy

@Suite struct LinkReportsTests {
  private let up = NetworkLink(isUp: true, speed: 1000, isFullDuplex: true)

  @Test func aQuietLinkIsToldAtOnce() {
    var reports = LinkReports()
    #expect(reports.step(.down, now: 5) == .nothing, "it is down until somebody says otherwise")
    #expect(reports.step(up, now: 5) == .tell(up))
    #expect(reports.step(up, now: 6) == .nothing)
    #expect(reports.step(.down, now: 5 + LinkReports.interval) == .tell(.down))
  }

  /// A thousand changes a second, for ten seconds.
  @Test func aFloodIsAFewLinesASecondAndTheLastStateIsTold() {
    var reports = LinkReports()
    var told: [NetworkLink] = []
    var due: Nanoseconds?
    for turn in 0..<10_001 {
      let now = Nanoseconds(turn) * 1_000_000
      let link = turn % 2 == 0 ? up : .down
      if let end = due, now < end { continue }
      due = nil
      switch reports.step(link, now: now) {
      case .nothing: break
      case .tell(let link): told.append(link)
      case .wait(let time): due = now + time
      }
    }
    #expect(told.count > 10 && told.count <= 101)
    if let due, case .tell(let link) = reports.step(up, now: due) { told.append(link) }
    #expect(told.last == up)
  }

  @Test func theEndOfADriverIsToldAtOnce() {
    var reports = LinkReports()
    #expect(reports.end(now: 1) == nil)
    #expect(reports.step(up, now: 1) == .tell(up))
    #expect(reports.end(now: 2) == .down)
    #expect(reports.step(up, now: 3) == .wait(LinkReports.interval - 1))
  }
}
