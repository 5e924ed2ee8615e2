/// The page of `bulkheadctl top`: a line above, the titles, one line for each device. No line is longer than the page is wide.
public struct TopPage: Sendable {
  private struct Column {
    var title: String
    var width: Int
    /// Columns of the lowest importance go first where there is not enough room.
    var importance: Int
    var value: @Sendable (TopRates) -> String
  }

  public var width: Int
  /// Lines there is room for; nil: any number.
  public var height: Int?
  public var legend = true
  public var style = Style.plain

  /// - Parameter width: columns.
  public init(width: Int, height: Int? = nil) {
    self.width = max(1, width)
    self.height = height
  }

  private static let columns = [
    Column(title: "STATE", width: 11, importance: 9) { $0.state },
    Column(title: "IN/s", width: 5, importance: 8) { $0.bytesIn.map(ShortNumbers.bytes) ?? "-" },
    Column(title: "OUT/s", width: 5, importance: 8) { $0.bytesOut.map(ShortNumbers.bytes) ?? "-" },
    Column(title: "OP/s", width: 5, importance: 7) { $0.operations.map(ShortNumbers.count) ?? "-" },
    Column(title: "MEAN", width: 6, importance: 4) { $0.meanLatency.map(ShortNumbers.time(microseconds:)) ?? "-" },
    Column(title: "P99", width: 6, importance: 5) { $0.latency99.map(ShortNumbers.time(microseconds:)) ?? "-" },
    Column(title: "%DRV", width: 4, importance: 3) { $0.driverProcessor.map(ShortNumbers.percent) ?? "-" },
    Column(title: "%BRK", width: 4, importance: 3) { $0.brokerProcessor.map(ShortNumbers.percent) ?? "-" },
    Column(title: "MEM", width: 5, importance: 2) { $0.memory.map { ShortNumbers.bytes(Double($0)) } ?? "-" },
    Column(title: "RST", width: 4, importance: 6) { ShortNumbers.count(Double($0.restarts)) },
  ]

  /// Of a long name: columns go before it gets less than the least of these.
  private static let nameWidth = 12...32

  /// The lines, each without its newline.
  /// - Parameters:
  ///   - title: the line above.
  ///   - notice: a second line, if there is something to say, such as that the daemon does not answer.
  public func lines(_ rates: [TopRates], title: String, notice: String? = nil) -> [String] {
    var columns = Self.columns
    let longest = max(6, rates.map { Self.label($0).count }.max() ?? 0)
    while width(columns) + min(longest, Self.nameWidth.lowerBound) > width, let least = columns.map(\.importance).min()
    {
      columns.removeAll { $0.importance == least }
    }
    let room = min(longest, Self.nameWidth.upperBound, max(1, width - width(columns)))
    var lines = [cut(title)]
    if let notice { lines.append(style.paint(cut(notice), .warning)) }
    if legend { lines.append(style.bold(line("DEVICE", room, columns) { $0.title })) }
    let body = rates.map { rates in
      let line = line(Self.label(rates), room, columns) { $0.value(rates) }
      return style.paint(line, Self.tone(rates))
    }
    return lines + fitting(body, below: lines.count)
  }

  /// The devices that have room, and how many have not.
  private func fitting(_ body: [String], below above: Int) -> [String] {
    guard let height, body.count > max(0, height - above) else { return body }
    let shown = max(0, height - above - 1)
    let rest = cut("... \(body.count - shown) more; name those that you want to see")
    return Array(body.prefix(shown)) + (height > above ? [rest] : [])
  }

  private func width(_ columns: [Column]) -> Int { columns.reduce(0) { $0 + 1 + $1.width } }

  private func line(_ name: String, _ room: Int, _ columns: [Column], _ value: (Column) -> String) -> String {
    var line = Self.cut(name, room)
    line += String(repeating: " ", count: room - line.count)
    for column in columns {
      let text = Self.cut(value(column), column.width)
      let padding = String(repeating: " ", count: column.width - text.count)
      // The state is a word, all others are numbers.
      line += " " + (column.importance == 9 ? text + padding : padding + text)
    }
    return cut(line)
  }

  private static func label(_ rates: TopRates) -> String { rates.name ?? rates.device }

  /// Colours only where something is to be looked at.
  private static func tone(_ rates: TopRates) -> Style.Tone {
    let tone = Style.tone(ofState: rates.state)
    if case .good = tone { return .plain }
    return tone
  }

  private func cut(_ text: String) -> String { Self.cut(text, width) }

  private static func cut(_ text: String, _ width: Int) -> String {
    text.count <= width ? text : width < 2 ? String(text.prefix(width)) : text.prefix(width - 1) + "~"
  }
}
