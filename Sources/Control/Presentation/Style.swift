/// Colours, where the reader is a terminal.
public struct Style: Sendable {
  /// What a text says of the state of things.
  public enum Tone: Sendable {
    case good
    case warning
    case bad
    case plain
  }

  private let isColoured: Bool

  public init(isColoured: Bool) { self.isColoured = isColoured }

  public static let plain = Style(isColoured: false)

  /// As the environment of a terminal wants it.
  /// - Parameters:
  ///   - noColour: `NO_COLOR`, which counts unless it is empty (https://no-color.org).
  ///   - terminal: `TERM`; a dumb one would show the escapes.
  public init(noColour: String?, terminal: String?) {
    isColoured = (noColour ?? "").isEmpty && terminal != "dumb"
  }

  public func paint(_ text: String, _ tone: Tone) -> String {
    guard isColoured, !text.isEmpty else { return text }
    switch tone {
    case .good: return "\u{1b}[32m\(text)\u{1b}[0m"
    case .warning: return "\u{1b}[33m\(text)\u{1b}[0m"
    case .bad: return "\u{1b}[31m\(text)\u{1b}[0m"
    case .plain: return text
    }
  }

  /// What is there for those who ask.
  public func faint(_ text: String) -> String { isColoured ? "\u{1b}[2m\(text)\u{1b}[0m" : text }

  public func bold(_ text: String) -> String { isColoured ? "\u{1b}[1m\(text)\u{1b}[0m" : text }

  /// The tone of a device's state.
  public static func tone(ofState state: String) -> Tone {
    switch state {
    case "running": .good
    case "failed", "quarantined": .bad
    case "idle", "absent", "unconfigured": .plain
    default: .warning
    }
  }
}
