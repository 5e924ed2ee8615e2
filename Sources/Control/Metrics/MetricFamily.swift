/// Samples of one name and kind, as monitoring systems take them.
public struct MetricFamily: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// Only grows; its samples have the suffix `_total`.
    case counter
    case gauge
    /// Facts in labels, its value is always 1; its samples have the suffix `_info`.
    case info
    case histogram
  }

  /// One number with its labels.
  public struct Sample: Sendable, Equatable {
    public var labels: [Label]
    public var value: Double
    /// Of a counter: seconds since 1970 when it began at 0.
    public var created: Int?
  }

  /// A name and what it is said of.
  public struct Label: Sendable, Equatable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// A distribution with its labels.
  public struct Distribution: Sendable, Equatable {
    public var labels: [Label]
    /// Upper bounds in the family's unit, ascending, without the infinite one.
    public var bounds: [Double]
    /// One for each bound and one behind; each observation is in one of them.
    public var counts: [Int]
    public var sum: Double
    /// Seconds since 1970 when it began empty.
    public var created: Int?

    public init(labels: [Label], bounds: [Double], counts: [Int], sum: Double, created: Int?) {
      precondition(counts.count == bounds.count + 1, "one count behind the last bound")
      self.labels = labels
      self.bounds = bounds
      self.counts = counts
      self.sum = sum
      self.created = created
    }
  }

  /// Without the suffix that its kind has.
  public let name: String
  public let kind: Kind
  /// A base unit that the name ends with, such as `seconds`; nil: numbers of things.
  public let unit: String?
  public let help: String
  public private(set) var samples: [Sample] = []
  public private(set) var distributions: [Distribution] = []

  public init(_ kind: Kind, _ name: String, unit: String? = nil, help: String) {
    precondition(unit.map { name.hasSuffix("_\($0)") } ?? true, "a name ends with its unit")
    self.kind = kind
    self.name = name
    self.unit = unit
    self.help = help
  }

  /// Adds a sample.
  /// - Parameter created: of a counter, seconds since 1970.
  public mutating func add(_ labels: [Label], _ value: Double, created: Int? = nil) {
    precondition(kind != .histogram, "a histogram has distributions")
    samples.append(Sample(labels: labels, value: value, created: created))
  }

  public mutating func add(_ labels: [Label], _ value: Int, created: Int? = nil) {
    add(labels, Double(value), created: created)
  }

  /// Adds a distribution of a histogram.
  public mutating func add(_ distribution: Distribution) {
    precondition(kind == .histogram, "only a histogram has distributions")
    distributions.append(distribution)
  }

  public var isEmpty: Bool { samples.isEmpty && distributions.isEmpty }
}
