import Glibc
import Testing

@testable import DriverKit

@Suite struct OptionsTests {
  private let options = Options(arguments: ["a=1", "b=0x20", "a=2", "c=", "nothing", "d=x=y", "n=-1"])

  @Test func findsTheLastOfAName() {
    #expect(options["a"] == "2")
    #expect(options["c"] == "")
    #expect(options["d"] == "x=y")
    #expect(options["nothing"] == nil)
  }

  @Test func readsNumbers() throws {
    #expect(try options.number("a", default: 0) == 2)
    #expect(try options.number("b", default: 0) == 32)
    #expect(try options.number("missing", default: 7) == 7)
    #expect(try options.number("n", default: 0) == -1)
  }

  @Test(arguments: ["c", "d", "n"]) func refusesWhatIsNoNumberInRange(name: String) {
    #expect { try options.number(name, default: 0, in: 0...100) } throws: {
      ($0 as? DriverFailure)?.code == .unsupported
    }
  }
}

@Suite struct TimersTests {
  @Test func oneShotFiresOnce() {
    var timers = Timers()
    timers.set(3, due: 100, interval: 0)
    #expect(timers.next == 100)
    #expect(timers.take(at: 99) == nil)
    #expect(timers.take(at: 100) == 3)
    #expect(timers.take(at: 1000) == nil && timers.next == .max)
  }

  @Test func beatsThatWereMissedAreNotCaughtUp() {
    var timers = Timers()
    timers.set(0, due: 100, interval: 10)
    #expect(timers.take(at: 500) == 0)
    #expect(timers.take(at: 500) == nil)
    #expect(timers.next == 501)
  }

  @Test func canceledTimersAreSilent() {
    var timers = Timers()
    timers.set(0, due: 100, interval: 10)
    timers.set(1, due: 200, interval: 0)
    timers.cancel(0)
    #expect(timers.next == 200)
    #expect(timers.take(at: 150) == nil)
  }
}

@Suite struct TransmitWatchTests {
  @Test func countsLooksWithoutAFrameFinished() {
    var watch = TransmitWatch()
    watch.begin(finished: 7)
    #expect((1...3).map { _ in watch.look(finished: 7, pending: 2) } == (1...3).map { .stalled(looks: $0) })
    #expect(watch.look(finished: 8, pending: 1) == .moving)
    #expect(watch.look(finished: 8, pending: 1) == .stalled(looks: 1))
    watch.forgive()
    #expect(watch.look(finished: 8, pending: 1) == .stalled(looks: 1), "it counts anew")
    #expect(watch.isRunning)
  }

  @Test func endsWithTheLastFrame() {
    var watch = TransmitWatch()
    #expect(!watch.isRunning)
    watch.begin(finished: 0)
    _ = watch.look(finished: 0, pending: 1)
    #expect(watch.look(finished: 0, pending: 0) == .idle, "what was not sent was taken back")
    #expect(!watch.isRunning)
    watch.begin(finished: 0)
    #expect(watch.look(finished: 0, pending: 1) == .stalled(looks: 1))
  }
}

@Suite struct LogTests {
  @Test func limitHoldsBackAndSaysSo() {
    var limit = LogLimit(lines: 2, period: 100)
    var permitted: [Bool] = []
    for now: Nanoseconds in [1000, 1001, 1002, 1003, 1004, 1100] { permitted.append(limit.permits(at: now)) }
    #expect(permitted == [true, true, false, false, false, true])
    let remarks = [limit.remark(), limit.remark()]
    #expect(remarks == [" (3 more were not logged)", ""])
  }

  @Test func writesOneLineAndSurvivesAReaderThatIsGone() {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    defer { close(ends[1]) }
    Log.write(.warning, "two\nlines", to: ends[1])
    var buffer = [UInt8](repeating: 0, count: 100)
    let count = read(ends[0], &buffer, 100)
    #expect(String(decoding: buffer.prefix(count), as: UTF8.self) == "warning: two lines\n")
    close(ends[0])
    Log.write(.info, "nobody listens", to: ends[1])
  }

  @Test func dropsLinesWhenThePipeIsFull() {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    // Would block for ever if a full pipe were written to.
    for _ in 0..<2000 { Log.write(.info, String(repeating: "x", count: 1000), to: ends[1]) }
  }
}
