import Control
import Foundation
import Platform
import Testing

@Suite struct MetricsTests {
  static var disk: Device {
    var device = Device(
      address: "0000:01:00.0", vendorID: "1b36", deviceID: "0010", vendor: "Red \"Hat\"", model: "a\\b\nc",
      className: "Non-Volatile memory controller", state: "running")
    device.name = "disk0"
    device.configured = true
    device.desired = "running"
    device.driver = "nvme"
    device.driverVersion = "0.1"
    device.since = 1000
    device.countedSince = 900
    device.brokerSince = 950
    device.restarts = 2
    var counters = Counters()
    counters.reads = 10
    counters.bytesRead = 40960
    counters.resets = 3
    counters.inFlight = 4
    device.counters = counters
    var counts = [Int](repeating: 0, count: RequestLatency.bounds.count + 1)
    counts[0] = 1
    counts[7] = 8
    counts[counts.count - 1] = 1
    device.latencies = [RequestLatency(operation: "read", counts: counts, total: 20_001_000_000)]
    device.violations = [ViolationCount(name: "dma-fault", count: 7, detail: "x", time: 1)]
    return device
  }

  static var nic: Device {
    var device = Device(
      address: "0000:03:00.0", vendorID: "8086", deviceID: "10d3", vendor: "Intel", model: "82574L",
      className: "Ethernet controller", state: "quarantined")
    device.name = "uplink"
    device.configured = true
    var outlet = Outlet(socket: nil, units: [])
    outlet.interface = PresentationTests.interface
    device.outlet = outlet
    var counters = Counters()
    counters.framesRefused = 5
    device.counters = counters
    return device
  }

  private func lines(_ format: MetricsFormat, _ devices: [Device] = [disk, nic]) -> [String] {
    let text = format.text(DeviceMetrics(devices).families)
    #expect(text.hasSuffix("# EOF\n"))
    return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
  }

  @Test(arguments: MetricsFormat.allCases) func samples(_ format: MetricsFormat) {
    let lines = lines(format)
    let disk = "device=\"0000:01:00.0\",name=\"disk0\""
    for line in [
      "bulkhead_up 1",
      "bulkhead_device_info{\(disk),driver=\"nvme\",version=\"0.1\",class=\"Non-Volatile memory controller\","
        + "model=\"Red \\\"Hat\\\" a\\\\b\\nc\"} 1",
      "bulkhead_device_state{device=\"0000:03:00.0\",name=\"uplink\",state=\"quarantined\"} 1",
      "bulkhead_device_running{\(disk)} 1", "bulkhead_device_desired{\(disk)} 1",
      "bulkhead_device_desired{device=\"0000:03:00.0\",name=\"uplink\"} 0",
      "bulkhead_device_running{device=\"0000:03:00.0\",name=\"uplink\"} 0",
      "bulkhead_device_last_change_timestamp_seconds{\(disk)} 1000",
      "bulkhead_driver_restarts_total{\(disk)} 2", "bulkhead_broker_restarts_total{\(disk)} 0",
      "bulkhead_violations_total{\(disk),violation=\"dma-fault\"} 7",
      "bulkhead_violations_total{\(disk),violation=\"config-denied\"} 0",
      "bulkhead_dma_faults_total{\(disk)} 7", "bulkhead_device_resets_total{\(disk)} 3",
      "bulkhead_requests_total{\(disk),operation=\"read\"} 10",
      "bulkhead_request_bytes_total{\(disk),operation=\"read\"} 40960", "bulkhead_requests_in_flight{\(disk)} 4",
      "bulkhead_network_packets_total{device=\"0000:03:00.0\",name=\"uplink\",interface=\"lan0\",direction=\"receive\"} 12",
      "bulkhead_network_bytes_total{device=\"0000:03:00.0\",name=\"uplink\",interface=\"lan0\",direction=\"receive\"} 2048",
      "bulkhead_network_frames_refused_total{device=\"0000:03:00.0\",name=\"uplink\",interface=\"lan0\"} 5",
    ] { #expect(lines.contains(line), "\(line)") }
    #expect(
      lines.filter { $0.hasPrefix("bulkhead_requests_total") }.allSatisfy { $0.contains("disk0") }, "a NIC has none")
  }

  @Test(arguments: MetricsFormat.allCases) func theHistogramIsCumulative(_ format: MetricsFormat) {
    let lines = lines(format)
    let labels = "device=\"0000:01:00.0\",name=\"disk0\",operation=\"read\""
    let buckets = lines.filter { $0.hasPrefix("bulkhead_request_duration_seconds_bucket") }
    #expect(buckets.count == RequestLatency.bounds.count + 1)
    #expect(buckets.first == "bulkhead_request_duration_seconds_bucket{\(labels),le=\"1e-06\"} 1")
    #expect(buckets[6].hasSuffix("le=\"6.4e-05\"} 1"))
    #expect(buckets[7].hasSuffix("le=\"0.000128\"} 9"))
    #expect(buckets[buckets.count - 2].hasSuffix("le=\"16.777216\"} 9"))
    #expect(buckets.last == "bulkhead_request_duration_seconds_bucket{\(labels),le=\"+Inf\"} 10")
    #expect(lines.contains("bulkhead_request_duration_seconds_count{\(labels)} 10"))
    #expect(lines.contains("bulkhead_request_duration_seconds_sum{\(labels)} 20.001"))
    #expect(lines.contains("# UNIT bulkhead_request_duration_seconds seconds"))
  }

  /// The two formats differ in what no parser of the other takes.
  @Test func whatOnlyOneFormatHas() {
    let prometheus = lines(.prometheus)
    let openMetrics = lines(.openMetrics)
    #expect(prometheus.contains("# TYPE bulkhead_requests_total counter"))
    #expect(prometheus.contains("# TYPE bulkhead_device_info gauge"))
    #expect(!prometheus.contains { $0.contains("_created") || $0.hasPrefix("# UNIT bulkhead_request_bytes") })
    #expect(openMetrics.contains("# TYPE bulkhead_requests counter"))
    #expect(openMetrics.contains("# TYPE bulkhead_device info"))
    #expect(openMetrics.contains("# UNIT bulkhead_request_bytes bytes"))
    let disk = "device=\"0000:01:00.0\",name=\"disk0\""
    #expect(openMetrics.contains("bulkhead_requests_created{\(disk),operation=\"read\"} 950"), "with the broker")
    #expect(openMetrics.contains("bulkhead_driver_restarts_created{\(disk)} 900"), "with bulkheadd")
    #expect(openMetrics.contains("bulkhead_request_duration_seconds_created{\(disk),operation=\"read\"} 950"))
  }

  /// Each family is told of once, before its samples, and all of them together.
  @Test(arguments: MetricsFormat.allCases) func familiesAreApart(_ format: MetricsFormat) {
    var families: [String] = []
    for line in lines(format) where line.hasPrefix("# TYPE") { families.append(String(line.split(separator: " ")[2])) }
    #expect(Set(families).count == families.count)
    #expect(lines(format).filter { $0.hasPrefix("# HELP") }.count == families.count)
  }

  @Test func whatIsNotThereHasNoSamples() {
    var device = Self.disk
    device.counters = nil
    device.latencies = []
    device.state = "failed"
    let text = MetricsFormat.prometheus.text(DeviceMetrics([device]).families)
    #expect(!text.contains("bulkhead_requests"))
    #expect(text.contains("bulkhead_device_running{device=\"0000:01:00.0\",name=\"disk0\"} 0\n"))
    device.state = "unconfigured"
    #expect(MetricsFormat.openMetrics.text(DeviceMetrics([device]).families).split(separator: "\n").count == 4)
    #expect(MetricsFormat.prometheus.text(DeviceMetrics.unreachable).contains("bulkhead_up 0\n"))
  }

  // MARK: The file

  @Test func aFileIsReplacedWhole() throws {
    let folder = TemporaryFolder()
    let path = "\(folder.path)/bulkhead.prom"
    for text in ["first\n", String(repeating: "second\n", count: 50_000)] {
      try TextFile.replace(path, with: text)
      #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
    }
    var found = stat()
    #expect(stat(path, &found) == 0)
    #expect(found.st_mode & 0o7777 == 0o644)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["bulkhead.prom"], "nothing else is left")
  }

  @Test func aFileThatCannotBeWritten() throws {
    let folder = TemporaryFolder()
    for (path, errno) in [
      ("\(folder.path)/none/x.prom", ENOENT), (folder.path, EISDIR), ("\(folder.path)/", EISDIR),
    ] {
      do throws(Failure) {
        try TextFile.replace(path, with: "x")
        Issue.record("written: \(path)")
      } catch {
        #expect(error.errno == errno)
        #expect(!error.hint.isEmpty)
      }
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
  }

  // MARK: Quantiles

  @Test func quantilesAreEstimatedWithinABucket() throws {
    var counts = [Int](repeating: 0, count: RequestLatency.bounds.count + 1)
    counts[7] = 50
    counts[9] = 50
    let latency = RequestLatency(operation: "read", counts: counts, total: 20_000_000)
    #expect(latency.count == 100)
    #expect(latency.mean == 200)
    // The median is the upper end of 64...128; the 75th percentile in the middle of 256...512.
    #expect(latency.quantile(0.5) == 128)
    #expect(latency.quantile(0.75) == 384)
    #expect(latency.quantile(1) == 512)
    #expect(latency.quantile(0) == 64)
    counts[RequestLatency.bounds.count] = 900
    #expect(RequestLatency(operation: "read", counts: counts, total: 0).quantile(0.99) == 16_777_216)
    #expect(RequestLatency(operation: "read", counts: counts.map { _ in 0 }, total: 0).quantile(0.99) == nil)
    #expect(RequestLatency(operation: "read", counts: counts.map { _ in 0 }, total: 0).mean == nil)
  }

  @Test func differencesOfHistograms() throws {
    var later = Self.disk.latencies[0]
    let earlier = later
    later.counts[7] += 5
    later.total += 500
    let difference = try #require(later.since(earlier))
    #expect(difference.count == 5)
    #expect(difference.total == 500)
    #expect(earlier.since(later) == nil, "another broker began anew")
  }
}
