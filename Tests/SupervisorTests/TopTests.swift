import Control
import Testing

@Suite struct TopTests {
  private static func sample(
    _ device: Device, at seconds: Double, driver: ProcessUsage? = nil, broker: ProcessUsage? = nil
  ) -> TopSample {
    TopSample(device: device, driver: driver, broker: broker, time: Int64(seconds * 1e9))
  }

  private static var disk: Device {
    var device = MetricsTests.disk
    device.outlet = Outlet(socket: "/run/x.sock", units: [])
    device.brokerPid = 100
    return device
  }

  // MARK: Rates

  @Test func aBlockDevice() throws {
    var later = Self.disk
    later.counters?.reads += 100
    later.counters?.writes += 300
    later.counters?.bytesRead += 4 << 20
    later.counters?.bytesWritten += 1000
    later.latencies[0].counts[8] += 400
    later.latencies[0].total += 80_000_000
    let rates = TopRates(
      Self.sample(Self.disk, at: 10, driver: ProcessUsage(start: 5, processor: 1, memory: 1 << 20)),
      Self.sample(
        later, at: 14, driver: ProcessUsage(start: 5, processor: 3, memory: 2 << 20),
        broker: ProcessUsage(start: 6, processor: 9, memory: 3 << 20)))
    #expect(rates.interval == 4)
    #expect(rates.operations == 100)
    #expect(rates.bytesIn == Double(1 << 20))
    #expect(rates.bytesOut == 250)
    #expect(rates.meanLatency == 200)
    #expect(try #require(rates.latency99) > 250)
    #expect(try #require(rates.latency99) <= 256)
    #expect(rates.driverProcessor == 50)
    #expect(rates.brokerProcessor == nil, "it was not looked at before")
    #expect(rates.memory == 5 << 20)
    #expect(rates.restarts == 2)
    #expect(rates.inFlight == 4)
    #expect(rates.deviceClass == "block")
  }

  @Test func nothingHappened() {
    let rates = TopRates(Self.sample(Self.disk, at: 1), Self.sample(Self.disk, at: 2))
    #expect(rates.operations == 0)
    #expect(rates.meanLatency == nil)
    #expect(rates.latency99 == nil)
  }

  /// The numbers of another broker are no progress, even where they are greater.
  @Test func anotherBroker() {
    var later = Self.disk
    later.brokerPid = 101
    later.counters?.reads += 100
    var rates = TopRates(Self.sample(Self.disk, at: 1), Self.sample(later, at: 2))
    #expect(rates.operations == nil && rates.bytesIn == nil && rates.meanLatency == nil)
    later = Self.disk
    later.counters?.reads = 0
    rates = TopRates(Self.sample(Self.disk, at: 1), Self.sample(later, at: 2))
    #expect(rates.operations == nil, "fewer than before")
    later.counters = nil
    #expect(TopRates(Self.sample(Self.disk, at: 1), Self.sample(later, at: 2)).operations == nil)
  }

  /// A process that has the number of one that is gone.
  @Test func anotherDriver() {
    let before = Self.sample(Self.disk, at: 1, driver: ProcessUsage(start: 5, processor: 1, memory: 1))
    let after = Self.sample(Self.disk, at: 2, driver: ProcessUsage(start: 9, processor: 2, memory: 1))
    #expect(TopRates(before, after).driverProcessor == nil)
  }

  @Test func theFirstLook() {
    let rates = TopRates(nil, Self.sample(Self.disk, at: 1))
    #expect(rates.operations == nil && rates.interval == nil)
    #expect(rates.state == "running")
    // A clock that stands still divides by nothing.
    #expect(TopRates(Self.sample(Self.disk, at: 1), Self.sample(Self.disk, at: 1)).interval == nil)
  }

  @Test func aNetworkDevice() {
    var later = MetricsTests.nic
    later.outlet?.interface?.statistics.receivedPackets += 30
    later.outlet?.interface?.statistics.sentPackets += 10
    later.outlet?.interface?.statistics.receivedBytes += 3000
    let rates = TopRates(Self.sample(MetricsTests.nic, at: 0), Self.sample(later, at: 2))
    #expect(rates.operations == 20)
    #expect(rates.bytesIn == 1500)
    #expect(rates.bytesOut == 0)
    #expect(rates.latency99 == nil && rates.inFlight == nil)
    #expect(rates.deviceClass == "network")
    later.outlet?.interface?.index += 1
    #expect(TopRates(Self.sample(MetricsTests.nic, at: 0), Self.sample(later, at: 2)).operations == nil)
  }

  // MARK: Processes

  @Test func theUsageOfAProcess() throws {
    let text =
      "4711 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 150 13 14 20 0 1 0 98765 1000000 512 18446744073709551615 1 1\n"
    let usage = try #require(ProcessUsage(stat: text, ticks: 100, page: 4096))
    #expect(usage == ProcessUsage(start: 98765, processor: 4, memory: 2 << 20))
    for wrong in ["", "1", "1 (x", "1 (x)", "1 (x) S 1 2", text.replacing("250", with: "x")] {
      #expect(ProcessUsage(stat: wrong, ticks: 100, page: 4096) == nil, "\(wrong)")
    }
  }

  // MARK: The page

  private static var all: [TopRates] {
    var later = disk
    later.counters?.reads += 123_456
    later.counters?.bytesRead += 987_654_321
    later.latencies[0].counts[11] += 123_456
    later.latencies[0].total += 123_456_000_000
    return [
      TopRates(
        sample(disk, at: 0, driver: ProcessUsage(start: 1, processor: 0, memory: 0)),
        sample(later, at: 1, driver: ProcessUsage(start: 1, processor: 0.995, memory: 12_345_678))),
      TopRates(sample(MetricsTests.nic, at: 0), sample(MetricsTests.nic, at: 1)),
    ]
  }

  @Test func theTable() {
    #expect(
      TopPage(width: 80).lines(Self.all, title: "top") == [
        "top",
        "DEVICE STATE        IN/s OUT/s  OP/s   MEAN    P99 %DRV %BRK   MEM  RST",
        "disk0  running      942M     0  123k  1.0ms  2.0ms  100    -   12M    2",
        "uplink quarantined     0     0     0      -      -    -    -     -    0",
      ])
  }

  @Test(arguments: [1, 2, 5, 13, 20, 30, 39, 40, 60, 76, 77, 79, 80, 132]) func noLineIsTooLong(_ width: Int) {
    var rates = Self.all
    rates[0].name = String(repeating: "a-very-long-name", count: 4)
    rates[0].bytesIn = 1e30
    rates[0].operations = 1e30
    rates[0].meanLatency = 1e30
    rates[0].driverProcessor = 1e30
    rates[0].restarts = .max
    let lines = TopPage(width: width).lines(
      rates, title: String(repeating: "t", count: 200), notice: String(repeating: "n", count: 200))
    #expect(lines.count == 5)
    for line in lines { #expect(line.count <= width, "\(line)") }
  }

  /// In a narrow window the state and the throughput are what stays.
  @Test func whatMattersStays() {
    let titles = TopPage(width: 40).lines(Self.all, title: "")[1]
    #expect(titles == "DEVICE STATE        IN/s OUT/s  OP/s")
  }

  /// At 80 columns everything has room, with a name of 15 characters.
  @Test func nothingIsMissingAt80() {
    var rates = Self.all
    rates[0].name = "fifteen-letters"
    let lines = TopPage(width: 80).lines(rates, title: "")
    #expect(lines[1].hasSuffix("RST") && lines[1].count == 80)
    #expect(lines[2].hasPrefix("fifteen-letters running"))
    rates[0].name = "sixteen-letters-"
    #expect(TopPage(width: 80).lines(rates, title: "")[2].hasPrefix("sixteen-letter~ running"))
  }

  @Test func aLowWindow() {
    let many = (0..<10).map { number in
      var rates = Self.all[1]
      rates.name = "nic\(number)"
      return rates
    }
    let lines = TopPage(width: 80, height: 5).lines(many, title: "top")
    #expect(lines.count == 5)
    #expect(lines[3].hasPrefix("nic1"))
    #expect(lines[4] == "... 8 more; name those that you want to see")
    #expect(TopPage(width: 80, height: 1).lines(many, title: "top").count <= 2)
  }

  @Test func shortNumbers() {
    for (value, text) in [
      (0.0, "0"), (-1, "0"), (999, "999"), (999.6, "1.0k"), (1000, "1.0k"), (9949, "9.9k"), (9950, "10k"),
      (999_499, "999k"), (999_999, "1.0M"), (1.5e9, "1.5G"), (1e15, "1.0P"), (1e30, "9999P"),
    ] { #expect(ShortNumbers.count(value) == text, "\(value)") }
    for (value, text) in [(1023.0, "1023"), (1024, "1.0K"), (1_047_552, "1.0M"), (5_242_880, "5.0M"), (1e30, "9999P")] {
      #expect(ShortNumbers.bytes(value) == text, "\(value)")
    }
    for (value, text) in [
      (0.0, "0us"), (999, "999us"), (999.7, "1.0ms"), (1500, "1.5ms"), (9960, "10ms"), (999_600, "1.0s"),
      (16_777_216, "17s"), (1e30, "1000000000s"),
    ] { #expect(ShortNumbers.time(microseconds: value) == text, "\(value)") }
    for (value, text) in [(0.0, "0"), (0.04, "0"), (0.3, "0.3"), (9.96, "10"), (250, "250"), (1e30, "99999")] {
      #expect(ShortNumbers.percent(value) == text, "\(value)")
    }
  }
}
