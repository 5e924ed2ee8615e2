import CBulkhead
import Glibc
import Logging
import Platform

/// The end of a child's standard error: untrusted bytes become clean, bounded lines of the log.
final class LogPipe {
  private let file: Int32
  private let loop: EventLoop
  private var token: EventLoop.Token?
  private var lines: LogLines
  private let emit: (Logger.Level, String) -> Void

  /// - Returns: the pipe and its write end, which the caller passes on and closes.
  static func make(
    loop: EventLoop, emit: @escaping (Logger.Level, String) -> Void
  ) throws(Failure) -> (pipe: LogPipe, writeEnd: Int32) {
    var ends: [Int32] = [-1, -1]
    try checked(bh_log_pipe(&ends), "log-pipe", "make a log pipe")
    return (LogPipe(file: ends[0], loop: loop, emit: emit), ends[1])
  }

  private init(file: Int32, loop: EventLoop, emit: @escaping (Logger.Level, String) -> Void) {
    self.file = file
    self.loop = loop
    self.emit = emit
    lines = LogLines(now: monotonicNow())
    token = loop.watch(file) { [weak self] _ in self?.read() }
  }

  deinit {
    if let token { loop.remove(token) }
    Descriptor.close(file)
  }

  /// Says something of our own about the child.
  func report(_ text: String) { emit(.error, text) }

  /// Reads what is left; a child's last words are often the most useful.
  func drain() { while token != nil, read() {} }

  @discardableResult
  private func read() -> Bool {
    var chunk = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(file, &chunk, chunk.count)
    if count < 0, errno == EAGAIN || errno == EINTR { return false }
    for line in lines.take(chunk.prefix(max(0, count)), isEnd: count <= 0, now: monotonicNow()) {
      emit(line.level, line.text)
    }
    if count <= 0, let token {
      loop.remove(token)
      self.token = nil
    }
    return count > 0
  }
}

/// Cuts bytes into lines, cleans them, and limits their length and rate.
struct LogLines {
  struct Line: Equatable {
    var level: Logger.Level
    var text: String
  }

  /// The most bytes of a line; the rest is dropped.
  static let maximumLength = 500
  /// Lines that may come at once, and then each second.
  static let burst = 200
  static let rate = 20

  private var partial: [UInt8] = []
  private var isCut = false
  private var credit = LogLines.burst
  private var credited: Nanoseconds
  private var dropped = 0

  init(now: Nanoseconds) { credited = now }

  /// - Parameter isEnd: nothing follows; a line without an end is one all the same.
  mutating func take(_ bytes: some Sequence<UInt8>, isEnd: Bool = false, now: Nanoseconds) -> [Line] {
    let seconds = (now - credited) / 1_000_000_000
    if seconds > 0 {
      credit = min(Self.burst, credit + Int(min(seconds, 60)) * Self.rate)
      credited += seconds * 1_000_000_000
    }
    var lines: [Line] = []
    for byte in bytes {
      if byte == UInt8(ascii: "\n") {
        finish(&lines)
      } else if partial.count < Self.maximumLength {
        // Only printable ASCII reaches logs and terminals.
        partial.append((0x20...0x7e).contains(byte) ? byte : (byte == 9 ? 0x20 : UInt8(ascii: "?")))
      } else {
        isCut = true
      }
    }
    if isEnd, !partial.isEmpty { finish(&lines) }
    return lines
  }

  private mutating func finish(_ lines: inout [Line]) {
    defer {
      partial.removeAll(keepingCapacity: true)
      isCut = false
    }
    guard !partial.isEmpty else { return }
    guard credit > 0 else {
      dropped += 1
      return
    }
    credit -= 1
    if dropped > 0 {
      lines.append(Line(level: .warning, text: "\(dropped) lines were dropped: more than \(Self.rate) a second"))
      dropped = 0
    }
    let text = String(decoding: partial, as: UTF8.self)
    lines.append(LogLines.levelled(isCut ? text + "..." : text))
  }

  /// `warning: text` has its level in front; a line without one is information.
  private static func levelled(_ text: String) -> Line {
    for (word, level) in [("error", Logger.Level.error), ("warning", .warning), ("info", .info), ("debug", .debug)]
    where text.hasPrefix(word + ": ") {
      return Line(level: level, text: String(text.dropFirst(word.count + 2)))
    }
    return Line(level: .info, text: text)
  }
}
