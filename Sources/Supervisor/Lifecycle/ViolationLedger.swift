import Protocol

/// The violations of one device: counted for ever by name, and by driver generation for the policy.
public struct ViolationLedger: Sendable {
  /// All violations of one kind.
  public struct Entry: Equatable, Sendable {
    public var violation: Violation
    public var count: Int
    /// Of the last one.
    public var detail: String
    /// Seconds since 1970, of the last one.
    public var time: Int
  }

  /// The policy from now on.
  public var settings: DeviceSettings.Violations
  /// In the order in which the kinds first occurred.
  public private(set) var entries: [Entry] = []
  private var inGeneration = 0
  /// The consequence that was drawn from this generation already.
  private var settled = DeviceSettings.Violations.Consequence.tolerate

  public init(_ settings: DeviceSettings.Violations) { self.settings = settings }

  /// A new driver begins with a clean slate.
  public mutating func beginGeneration() {
    inGeneration = 0
    settled = .tolerate
  }

  /// Counts, and tells what follows. A burst has one consequence for each driver; only a harder one comes on top.
  public mutating func record(
    _ violation: Violation, count: Int, detail: String, time: Int
  ) -> DeviceSettings.Violations.Consequence {
    note(violation, count: count, detail: detail, time: time)
    let consequence: DeviceSettings.Violations.Consequence
    if violation == .dmaFault {
      consequence = settings.dmaFault
    } else {
      inGeneration += count
      consequence = inGeneration > settings.tolerate ? settings.then : .tolerate
    }
    guard consequence.severity > settled.severity else { return .tolerate }
    settled = consequence
    return consequence
  }

  /// Counts what was not seen and must have been: nobody is restarted or quarantined for an inference.
  public mutating func note(_ violation: Violation, count: Int, detail: String, time: Int) {
    guard let index = entries.firstIndex(where: { $0.violation == violation }) else {
      entries.append(Entry(violation: violation, count: count, detail: detail, time: time))
      return
    }
    entries[index].count += count
    entries[index].detail = detail
    entries[index].time = time
  }
}

extension DeviceSettings.Violations.Consequence {
  fileprivate var severity: Int {
    switch self {
    case .tolerate: 0
    case .restart: 1
    case .quarantine: 2
    }
  }
}
