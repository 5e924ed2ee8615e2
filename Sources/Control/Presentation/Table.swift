/// Columns of text, aligned by spaces; the last column is not padded.
public struct Table {
  /// One cell; its tone does not count for its width.
  public struct Cell {
    public var text: String
    public var tone: Style.Tone

    public init(_ text: String, _ tone: Style.Tone = .plain) {
      self.text = text
      self.tone = tone
    }
  }

  private let titles: [String]
  private var rows: [[Cell]] = []

  public init(_ titles: [String]) { self.titles = titles }

  public mutating func add(_ row: [Cell]) {
    precondition(row.count == titles.count)
    rows.append(row)
  }

  /// Each line ends with a newline.
  public func text(legend: Bool = true, style: Style = .plain) -> String {
    let header = legend ? [titles.map { Cell($0) }] : []
    let all = header + rows
    let widths = titles.indices.map { column in all.map { $0[column].text.count }.max() ?? 0 }
    var text = ""
    for (index, row) in all.enumerated() {
      var line = ""
      for (column, cell) in row.enumerated() {
        let isLast = column == row.count - 1
        let padding = isLast ? "" : String(repeating: " ", count: widths[column] - cell.text.count + 2)
        line += (legend && index == 0 ? style.bold(cell.text) : style.paint(cell.text, cell.tone)) + padding
      }
      while line.hasSuffix(" ") { line.removeLast() }
      text += line + "\n"
    }
    return text
  }
}
