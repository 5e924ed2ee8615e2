/// A page of labelled lines, the labels aligned to the right of one column.
struct Page {
  private(set) var text = ""
  private let style: Style
  private static let width = 14

  init(style: Style) { self.style = style }

  mutating func title(_ title: String) { text += style.bold(title) + "\n" }

  mutating func line(_ label: String, _ value: String?, _ tone: Style.Tone = .plain) {
    guard let value, !value.isEmpty else { return }
    let padding = String(repeating: " ", count: max(0, Self.width - label.count))
    text += "\(padding)\(label)\(label.isEmpty ? "  " : ": ")\(style.paint(value, tone))\n"
  }

  /// Several values below one label.
  mutating func lines(_ label: String, _ values: [String], _ tone: Style.Tone = .plain) {
    for (index, value) in values.enumerated() { line(index == 0 ? label : "", value, tone) }
  }
}
