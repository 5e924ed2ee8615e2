import Foundation
import Glibc
import Testing

/// What `bulkheadctl metrics` says of devices that have worked, read as monitoring systems read it.
@Suite(.serialized) struct MetricsTests {
  @Test func aBlockDevice() throws {
    let native = try Native()
    let disk = try Disk(native)
    func work(_ count: Int) throws {
      for number in 0..<count {
        #expect(disk.write([UInt8](repeating: 1, count: 4096), at: UInt64(number) * 4096) == 0)
        #expect(disk.read(8192, at: 0).error == 0)
      }
      #expect(disk.flush() == 0)
      #expect(disk.trim(4096, at: 0) == 0)
    }
    try work(20)
    let before = try Metrics(native)
    let driver = try #require(try native.status()?.driver)
    #expect(kill(driver, SIGKILL) == 0)
    try native.eventually("the next driver") {
      let status = try native.status()
      return status?.state == "running" && status?.driver != driver
    }
    try work(10)
    let after = try Metrics(native)
    #expect(try after["bulkhead_requests_total", "operation=\"write\""] == 30)
    #expect(try after["bulkhead_requests_total", "operation=\"read\""] == 30)
    #expect(try after["bulkhead_requests_total", "operation=\"flush\""] == 2)
    #expect(try after["bulkhead_requests_total", "operation=\"discard\""] == 2)
    #expect(try after["bulkhead_request_bytes_total", "operation=\"read\""] == 30 * 8192)
    #expect(try after["bulkhead_driver_restarts_total"] == 1)
    #expect(try after["bulkhead_broker_restarts_total"] == 0)
    #expect(try after["bulkhead_device_resets_total"] == 2)
    #expect(try after["bulkhead_device_running"] == 1)
    #expect(try after["bulkhead_device_info", "driver=\"nvme\""] == 1)
    for operation in ["read", "write", "flush", "discard"] {
      let label = "operation=\"\(operation)\""
      let buckets = after.values("bulkhead_request_duration_seconds_bucket", label)
      #expect(buckets == buckets.sorted() && buckets.count == 26, "cumulative")
      let count = try after["bulkhead_request_duration_seconds_count", label]
      #expect(buckets.last == count)
      #expect(try after["bulkhead_requests_total", label] == count, "all were answered")
      #expect(try after["bulkhead_request_duration_seconds_sum", label] > 0)
    }
    // A new driver takes nothing back.
    for (sample, value) in before.samples where sample.contains("_total") || sample.contains("duration") {
      #expect(try #require(after.samples[sample]) >= value, "\(sample)")
    }
    try after.areAccepted()
    #expect(native.stop() == 0)
  }

  @Test(.enabled(if: NetworkRig.isPossible, "needs root and TAPs")) func aNetworkDevice() throws {
    let rig = try NetworkRig()
    try rig.eventuallyEchoes()
    let before = try Metrics(rig.native)
    let driver = try #require(try rig.native.status()?.driver)
    #expect(kill(driver, SIGKILL) == 0)
    try rig.native.eventually("the next driver") { try ![driver, nil].contains(rig.native.status()?.driver) }
    try rig.eventuallyEchoes()
    let after = try Metrics(rig.native)
    for direction in ["direction=\"receive\"", "direction=\"transmit\""] {
      #expect(
        try after["bulkhead_network_packets_total", direction] > before["bulkhead_network_packets_total", direction])
      #expect(try after["bulkhead_network_bytes_total", direction] > before["bulkhead_network_bytes_total", direction])
    }
    #expect(try after["bulkhead_network_carrier", "interface=\"port0\""] == 1)
    #expect(try after["bulkhead_driver_restarts_total"] == 1)
    #expect(after.values("bulkhead_requests_total").isEmpty, "it has no requests")
    try after.areAccepted()
  }

  /// Nobody answers: what is in the file is true all the same.
  @Test func withoutADaemon() throws {
    let native = try Native()
    let file = "\(native.folder)/bulkhead.prom"
    #expect(try native.control("metrics", "--textfile", file).status == 0)
    #expect(try String(contentsOfFile: file, encoding: .utf8).contains("bulkhead_up 1\n"))
    #expect(native.stop() == 0)
    #expect(try native.control("metrics").status == 5)
    #expect(try native.control("metrics", "--textfile", file).status == 5)
    #expect(try String(contentsOfFile: file, encoding: .utf8).contains("bulkhead_up 0\n"))
    #expect(try String(contentsOfFile: file, encoding: .utf8).contains("bulkhead_device") == false)
  }

  /// Pages of `top` where nobody watches: as many as were asked for, none wider than it may be.
  @Test func topInBatches() throws {
    let native = try Native()
    let text = try native.control("top", "--iterations", "2", "--interval", "0.1").output
    let lines = text.split(separator: "\n")
    #expect(lines.count == 6, "\(text)")
    #expect(lines.allSatisfy { $0.count <= 80 && !$0.contains("\u{1b}") })
    #expect(lines[2].hasPrefix("disk   running "))
    let json = try native.control("top", "--iterations", "1", "--interval", "0.1", "--json", "disk").output
    let devices = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [[String: Any]])
    #expect(devices.count == 1 && devices[0]["operations"] as? Double == 0)
    #expect(try native.control("top", "nothing").status == 3)
    #expect(native.stop() == 0)
    #expect(try native.control("top").status == 5)
  }
}

/// What `bulkheadctl metrics` printed.
private struct Metrics {
  private let texts: [String: String]
  /// By name and labels.
  private(set) var samples: [String: Double] = [:]
  private var order: [String] = []

  init(_ native: Native) throws {
    var texts: [String: String] = [:]
    for format in ["prometheus", "openmetrics"] {
      let command = try native.control("metrics", "--format", format)
      #expect(command.status == 0, "\(command.output)")
      texts[format] = command.output
    }
    self.texts = texts
    for line in (texts["prometheus"] ?? "").split(separator: "\n") where !line.hasPrefix("#") {
      let end = try #require(line.lastIndex(of: " "))
      let value: Double = try #require(Double(String(line[line.index(after: end)...])))
      samples[String(line[..<end])] = value
      order.append(String(line[..<end]))
    }
  }

  /// The values of a family's samples that have a label, in the order of the text.
  func values(_ name: String, _ label: String = "") -> [Double] {
    order.filter { $0.hasPrefix("\(name){") && (label.isEmpty || $0.contains(label)) }.compactMap { samples[$0] }
  }

  subscript(name: String, label: String = "") -> Double {
    get throws {
      let values = values(name, label)
      #expect(values.count == 1, "\(name) \(label)")
      return try #require(values.first)
    }
  }

  /// Where it is set (lab/unit-tests, which installs them), a tool that is missing is a failure.
  private static let needsTools = ProcessInfo.processInfo.environment["BULKHEAD_TOOLS"] == "required"

  private static func has(_ name: String, _ command: [String]) throws -> Bool {
    let isThere = try Command.run(command).status == 0
    #expect(isThere || !needsTools, "\(name) is not installed (lab/packages)")
    return isThere
  }

  /// By Prometheus's own check, and by the parser of OpenMetrics, of those that are installed here.
  func areAccepted() throws {
    if try Self.has("promtool", ["sh", "-c", "command -v promtool"]) {
      try run(["promtool", "check", "metrics"], on: "prometheus")
    }
    let parser = "from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse"
    guard try Self.has("python3-prometheus-client", ["/usr/bin/python3", "-c", parser]) else { return }
    let program = "\(parser)\nimport sys\nassert len(list(parse(sys.stdin.read()))) > 10"
    try run(["/usr/bin/python3", "-c", program], on: "openmetrics")
  }

  private func run(_ words: [String], on format: String) throws {
    let file = "/tmp/native-\(getpid())-metrics"
    defer { unlink(file) }
    try (texts[format] ?? "").write(toFile: file, atomically: true, encoding: .utf8)
    let command = try Command.run(["sh", "-c", "file=$1; shift; exec \"$@\" <\"$file\"", "sh", file] + words)
    #expect(command.status == 0 && command.output.isEmpty, "\(command.output)")
  }
}
