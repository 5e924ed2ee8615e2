import Testing

@testable import Supervisor

@Suite struct LogLinesTests {
  private func take(_ text: String, isEnd: Bool = true) -> [LogLines.Line] {
    var lines = LogLines(now: 0)
    return lines.take(Array(text.utf8), isEnd: isEnd, now: 0)
  }

  @Test func levelsAreTakenFromTheFront() {
    #expect(
      take("error: a\nwarning: b\nhello\ndebug: c\n") == [
        .init(level: .error, text: "a"), .init(level: .warning, text: "b"), .init(level: .info, text: "hello"),
        .init(level: .debug, text: "c"),
      ])
  }

  @Test func nothingReachesATerminalThatIsNotPrintable() {
    #expect(take("\u{1b}[2J\u{7}\tä\r\n") == [.init(level: .info, text: "?[2J? ???")])
  }

  @Test func longLinesAreCut() {
    let line = take(String(repeating: "a", count: 10_000))[0]
    #expect(line.text == String(repeating: "a", count: LogLines.maximumLength) + "...")
  }

  @Test func linesMayComeInPieces() {
    var lines = LogLines(now: 0)
    #expect(lines.take(Array("hel".utf8), now: 0) == [])
    #expect(lines.take(Array("lo\n\n".utf8), now: 0) == [.init(level: .info, text: "hello")])
  }

  @Test func floodsAreLimitedAndSaid() {
    var lines = LogLines(now: 0)
    let flood = Array(String(repeating: "x\n", count: 1000).utf8)
    #expect(lines.take(flood, now: 0).count == LogLines.burst)
    let later = lines.take(Array("y\n".utf8), now: 2_000_000_000)
    #expect(later.count == 2)
    #expect(later.first?.text == "800 lines were dropped: more than 20 a second")
    #expect(later.last?.text == "y")
  }
}
