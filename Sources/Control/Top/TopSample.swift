/// What a process has used so far.
public struct ProcessUsage: Sendable, Equatable {
  /// When it began, in the kernel's ticks since the boot: another process of the same number began at another time.
  public var start: Int
  /// Seconds of a processor.
  public var processor: Double
  /// Bytes in memory.
  public var memory: Int

  public init(start: Int, processor: Double, memory: Int) {
    self.start = start
    self.processor = processor
    self.memory = memory
  }

  /// Reads the text of `/proc/PID/stat` (proc(5)).
  /// - Parameters:
  ///   - ticks: of `_SC_CLK_TCK`, in a second.
  ///   - page: bytes of a page.
  public init?(stat text: String, ticks: Int, page: Int) {
    // The name, in parentheses, may have any bytes in it, parentheses too.
    guard ticks > 0, let end = text.lastIndex(of: ")") else { return nil }
    // From field 3 on; utime is 14, stime 15, starttime 22, rss 24.
    let fields = text[text.index(after: end)...].split(whereSeparator: \.isWhitespace)
    guard fields.count > 21, let user = Int(fields[11]), let system = Int(fields[12]), let start = Int(fields[19]),
      let pages = Int(fields[21])
    else { return nil }
    self.init(start: start, processor: Double(user + system) / Double(ticks), memory: max(0, pages) * page)
  }
}

/// One look at a device: what the daemon says of it, and what its processes have used.
public struct TopSample: Sendable {
  public var device: Device
  public var driver: ProcessUsage?
  public var broker: ProcessUsage?
  /// Nanoseconds on a clock that does not jump.
  public var time: Int64

  public init(device: Device, driver: ProcessUsage?, broker: ProcessUsage?, time: Int64) {
    self.device = device
    self.driver = driver
    self.broker = broker
    self.time = time
  }
}

/// What a device did between two looks; nil is not known, for want of an earlier look or because a broker began anew.
public struct TopRates: Codable, Sendable, Equatable {
  public var device: String
  public var name: String?
  public var state: String
  /// `block` or `network`; nil where it has no outlet.
  public var deviceClass: String?
  /// Bytes a second, read from the block device or received from the network.
  public var bytesIn: Double?
  /// Bytes a second, written or sent.
  public var bytesOut: Double?
  /// Requests, or packets both ways, a second.
  public var operations: Double?
  /// Microseconds, of block devices: the mean of all requests that were answered in the interval, and what 99 of 100 needed
  /// at most (estimated from the histogram).
  public var meanLatency: Double?
  public var latency99: Double?
  public var inFlight: Int?
  /// Percent of one processor.
  public var driverProcessor: Double?
  public var brokerProcessor: Double?
  /// Bytes in memory of driver and broker; payload that is pinned counts with the broker.
  public var memory: Int?
  public var restarts: Int
  /// Seconds between the two looks.
  public var interval: Double?

  /// - Parameter earlier: nil: this is the first look.
  public init(_ earlier: TopSample?, _ sample: TopSample) {
    let device = sample.device
    self.device = device.address
    name = device.name
    state = device.state
    restarts = device.restarts
    deviceClass = device.outlet.map { $0.interface == nil ? "block" : "network" }
    if device.outlet?.interface == nil { inFlight = device.counters?.inFlight }
    let used = [sample.driver, sample.broker].compactMap { $0?.memory }
    memory = used.isEmpty ? nil : used.reduce(0, +)
    guard let earlier, sample.time > earlier.time else { return }
    let seconds = Double(sample.time - earlier.time) / 1e9
    interval = seconds
    driverProcessor = Self.processor(earlier.driver, sample.driver, seconds)
    brokerProcessor = Self.processor(earlier.broker, sample.broker, seconds)
    if let interface = device.outlet?.interface {
      count(earlier.device.outlet?.interface, interface, seconds)
    } else {
      count(earlier.device, device, seconds)
    }
  }

  private static func processor(_ earlier: ProcessUsage?, _ now: ProcessUsage?, _ seconds: Double) -> Double? {
    guard let earlier, let now, earlier.start == now.start else { return nil }
    return max(0, now.processor - earlier.processor) / seconds * 100
  }

  private mutating func count(_ earlier: Outlet.Interface?, _ now: Outlet.Interface, _ seconds: Double) {
    // An interface that was made anew has another index.
    guard let before = earlier?.statistics, earlier?.index == now.index else { return }
    let after = now.statistics
    func rate(_ path: KeyPath<Outlet.InterfaceStatistics, Int>) -> Double? {
      let count = after[keyPath: path] - before[keyPath: path]
      return count < 0 ? nil : Double(count) / seconds
    }
    bytesIn = rate(\.receivedBytes)
    bytesOut = rate(\.sentBytes)
    if let received = rate(\.receivedPackets), let sent = rate(\.sentPackets) { operations = received + sent }
  }

  private mutating func count(_ earlier: Device, _ now: Device, _ seconds: Double) {
    guard let before = earlier.counters, let after = now.counters, earlier.brokerPid == now.brokerPid,
      earlier.brokerSince == now.brokerSince
    else { return }
    func rate(_ path: KeyPath<Counters, Int>) -> Double? {
      let count = after[keyPath: path] - before[keyPath: path]
      return count < 0 ? nil : Double(count) / seconds
    }
    bytesIn = rate(\.bytesRead)
    bytesOut = rate(\.bytesWritten)
    let kinds = [rate(\.reads), rate(\.writes), rate(\.flushes), rate(\.discards)].compactMap { $0 }
    if kinds.count == 4 { operations = kinds.reduce(0, +) }
    let changes = zip(earlier.latencies, now.latencies).compactMap { $1.since($0) }
    guard changes.count == now.latencies.count, let first = changes.first else { return }
    let all = changes.dropFirst().reduce(first) { $0.adding($1) }
    meanLatency = all.mean
    latency99 = all.quantile(0.99)
  }
}
