import Glibc

/// The terminal that a page is redrawn on: keys come one by one and are not shown, the cursor is hidden, and all of it is as
/// before when the program ends, by whatever signal that can be caught, or is stopped (Ctrl-Z).
enum Terminal {
  /// Of standard input before us; nil while it is not changed.
  private nonisolated(unsafe) static var former: termios?
  private nonisolated(unsafe) static var isDrawing = false

  private static let begin: StaticString = "\u{1b}[?25l\u{1b}[H\u{1b}[2J"
  private static let end: StaticString = "\u{1b}[?25h"

  /// Standard output is a terminal, and one that can move its cursor.
  static var isThere: Bool { isatty(STDOUT_FILENO) == 1 && variable("TERM") != "dumb" }

  static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  /// Columns and lines; what is not known is taken from the environment, and is 80 and 24 else.
  static var size: (width: Int, height: Int) {
    var size = winsize()
    _ = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size)
    return (
      size.ws_col > 0 ? Int(size.ws_col) : number("COLUMNS") ?? 80,
      size.ws_row > 0 ? Int(size.ws_row) : number("LINES") ?? 24
    )
  }

  /// A number from the environment, where it makes sense.
  static func number(_ name: String) -> Int? {
    variable(name).flatMap { Int($0) }.flatMap { (1...10_000).contains($0) ? $0 : nil }
  }

  /// Takes the terminal; ``leave()`` gives it back, and so does every signal that ends us.
  static func enter() {
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
      // Only what tcsetattr, write and _exit do, which signal handlers may call (signal-safety(7)).
      handle(number) { signal in
        Terminal.leave()
        _exit(signal == SIGINT ? 0 : 128 + signal)
      }
    }
    handle(SIGTSTP) { _ in
      Terminal.leave()
      kill(getpid(), SIGSTOP)
      Terminal.take()
    }
    // It has nothing to do but to end a wait.
    handle(SIGWINCH) { _ in }
    take()
  }

  static func leave() {
    if var state = former { tcsetattr(STDIN_FILENO, TCSANOW, &state) }
    if isDrawing { put(end) }
    isDrawing = false
  }

  private static func take() {
    var state = termios()
    if tcgetattr(STDIN_FILENO, &state) == 0 {
      if former == nil { former = state }
      state.c_lflag &= ~tcflag_t(ICANON | ECHO)
      tcsetattr(STDIN_FILENO, TCSANOW, &state)
    }
    isDrawing = true
    put(begin)
  }

  private static func handle(_ number: Int32, _ handler: @escaping @convention(c) (Int32) -> Void) {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = handler
    sigaction(number, &action, nil)
  }

  private static func put(_ text: StaticString) { _ = write(STDOUT_FILENO, text.utf8Start, text.utf8CodeUnitCount) }

  /// Draws a page over the former one, without a moment at which the screen is empty.
  /// - Returns: whether it could be written.
  static func draw(_ lines: [String]) -> Bool {
    Output.emit("\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\n") + "\u{1b}[J")
  }

  enum Wake {
    case time
    case key(UInt8)
    /// The size of the window may be another.
    case signal
  }

  /// Waits for a key, a signal or the end of so many nanoseconds.
  static func wait(_ nanoseconds: Int64) -> Wake {
    var input = pollfd(fd: hasKeys ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0)
    let milliseconds = Int32(clamping: (max(0, nanoseconds) + 999_999) / 1_000_000)
    let ready = poll(&input, 1, milliseconds)
    if ready < 0 { return .signal }
    guard ready > 0 else { return .time }
    var key: UInt8 = 0
    if read(STDIN_FILENO, &key, 1) == 1 { return .key(key) }
    // Its end would be reported for ever.
    hasKeys = false
    return .signal
  }

  private nonisolated(unsafe) static var hasKeys = isatty(STDIN_FILENO) == 1
}
