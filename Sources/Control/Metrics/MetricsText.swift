/// Metric families as text, in one of the two formats there are.
///
/// They differ in how a counter's family is called (OpenMetrics leaves `_total` to the samples, Prometheus's own text format
/// does not), and in that only OpenMetrics tells when a counter began. No text is right in both.
public enum MetricsFormat: String, Sendable, CaseIterable {
  /// The text format of Prometheus, version 0.0.4: what `promtool check metrics` and the textfile collector of node_exporter
  /// read. It ends with `# EOF` too, which is a comment there.
  case prometheus
  /// OpenMetrics 1.0 (https://openmetrics.io).
  case openMetrics = "openmetrics"

  /// The text of all families that have samples.
  public func text(_ families: [MetricFamily]) -> String {
    families.filter { !$0.isEmpty }.map(text).joined() + "# EOF\n"
  }

  private func text(_ family: MetricFamily) -> String {
    let name = self == .openMetrics ? family.name : family.name + family.kind.suffix
    var lines = ["# TYPE \(name) \(word(family.kind))"]
    // The parsers of OpenMetrics want a name to end with its unit, and here a counter's ends with "_total".
    if let unit = family.unit, name.hasSuffix(unit) { lines.append("# UNIT \(name) \(unit)") }
    lines.append("# HELP \(name) \(Self.escaped(family.help, quotes: self == .openMetrics))")
    for sample in family.samples {
      lines.append("\(family.name)\(family.kind.suffix)\(Self.text(sample.labels)) \(Self.number(sample.value))")
      if let created = sample.created { lines += self.created(family, sample.labels, created) }
    }
    for distribution in family.distributions { lines += text(family, distribution) }
    return lines.map { $0 + "\n" }.joined()
  }

  private func text(_ family: MetricFamily, _ distribution: MetricFamily.Distribution) -> [String] {
    var lines: [String] = []
    var count = 0
    let bounds = distribution.bounds.map { "\($0)" } + ["+Inf"]
    for (bound, here) in zip(bounds, distribution.counts) {
      count += here
      lines.append("\(family.name)_bucket\(Self.text(distribution.labels + [.init("le", bound)])) \(count)")
    }
    let labels = Self.text(distribution.labels)
    lines.append("\(family.name)_count\(labels) \(count)")
    lines.append("\(family.name)_sum\(labels) \(Self.number(distribution.sum))")
    if let created = distribution.created { lines += self.created(family, distribution.labels, created) }
    return lines
  }

  /// In the other format it would be a family of its own.
  private func created(_ family: MetricFamily, _ labels: [MetricFamily.Label], _ time: Int) -> [String] {
    self == .openMetrics ? ["\(family.name)_created\(Self.text(labels)) \(time)"] : []
  }

  private func word(_ kind: MetricFamily.Kind) -> String {
    switch kind {
    case .counter: "counter"
    case .gauge: "gauge"
    case .info: self == .openMetrics ? "info" : "gauge"
    case .histogram: "histogram"
    }
  }

  private static func text(_ labels: [MetricFamily.Label]) -> String {
    guard !labels.isEmpty else { return "" }
    return "{" + labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }.joined(separator: ",") + "}"
  }

  /// A backslash, a line break and, where they would end the text, quotes.
  static func escaped(_ text: String, quotes: Bool) -> String {
    var result = ""
    // Scalars, for a carriage return and a line feed are one character to Swift.
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// Whole numbers without a point.
  static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }
}

extension MetricFamily.Kind {
  fileprivate var suffix: String {
    switch self {
    case .counter: "_total"
    case .info: "_info"
    case .gauge, .histogram: ""
    }
  }
}
