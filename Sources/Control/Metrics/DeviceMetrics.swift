import Protocol

/// What there is to be measured of devices.
///
/// Counts of requests, frames, interrupts and resets begin with the broker, and go on when a driver is replaced; those of
/// restarts and violations begin with bulkheadd, or with `bulkheadctl reset-failed`; those of an interface with the interface.
public struct DeviceMetrics {
  private typealias Label = MetricFamily.Label

  /// What is said where there is no daemon to ask.
  public static let unreachable = [up(0)]

  private static func up(_ value: Int) -> MetricFamily {
    var family = MetricFamily(.gauge, "bulkhead_up", help: "Whether bulkheadd answered.")
    family.add([], value)
    return family
  }

  private let devices: [Device]

  /// - Parameter devices: those of the configuration, with fresh counters.
  public init(_ devices: [Device]) { self.devices = devices.filter { $0.state != "unconfigured" } }

  public var families: [MetricFamily] {
    [Self.up(1)] + states + supervision + requests + network + [
      broker("bulkhead_wakeups", "Times that the broker was woken up.", \.wakeups),
      broker("bulkhead_interrupts", "Interrupts of the device.", \.interrupts),
    ]
  }

  private static func labels(_ device: Device) -> [Label] {
    [Label("device", device.address), Label("name", device.name ?? "")]
  }

  // MARK: State

  private var states: [MetricFamily] {
    var info = MetricFamily(
      .info, "bulkhead_device", help: "What a device is, and the driver that it has or is to have.")
    var state = MetricFamily(
      .gauge, "bulkhead_device_state", help: "1 for the state that a device is in, one of those of its life cycle.")
    var desired = MetricFamily(
      .gauge, "bulkhead_device_desired", help: "Whether the device is to have a driver that serves it.")
    var running = MetricFamily(.gauge, "bulkhead_device_running", help: "Whether a driver serves the device.")
    var change = MetricFamily(
      .gauge, "bulkhead_device_last_change_timestamp_seconds", unit: "seconds",
      help: "When the state changed last, in seconds since 1970.")
    for device in devices {
      let labels = Self.labels(device)
      info.add(
        labels + [
          Label("driver", device.driver ?? ""), Label("version", device.driverVersion ?? ""),
          Label("class", device.className), Label("model", device.modelName),
        ], 1)
      state.add(labels + [Label("state", device.state)], 1)
      desired.add(labels, device.desired == "running" ? 1 : 0)
      running.add(labels, device.state == "running" ? 1 : 0)
      if device.since > 0 { change.add(labels, device.since) }
    }
    return [info, state, desired, running, change]
  }

  // MARK: Restarts and violations

  private var supervision: [MetricFamily] {
    var drivers = MetricFamily(
      .counter, "bulkhead_driver_restarts", help: "Drivers started again because one was lost, since bulkheadd began.")
    var brokers = MetricFamily(
      .counter, "bulkhead_broker_restarts", help: "Brokers started again because one was lost, since bulkheadd began.")
    var violations = MetricFamily(
      .counter, "bulkhead_violations",
      help: "What drivers and devices did that they must not do, by name, since bulkheadd began.")
    var faults = MetricFamily(
      .counter, "bulkhead_dma_faults", help: "DMA accesses that the IOMMU refused, since bulkheadd began.")
    for device in devices where device.configured {
      let labels = Self.labels(device)
      let created = device.countedSince > 0 ? device.countedSince : nil
      drivers.add(labels, device.restarts, created: created)
      brokers.add(labels, device.brokerRestarts, created: created)
      // All names, also those at 0: the first of a kind is an increase, not a new series.
      for kind in Violation.allCases {
        let count = device.violations.first { $0.name == kind.name }?.count ?? 0
        violations.add(labels + [Label("violation", kind.name)], count, created: created)
        if kind == .dmaFault { faults.add(labels, count, created: created) }
      }
    }
    let resets = broker(
      "bulkhead_device_resets", "Resets of the device, one before its first driver and one after each.", \.resets)
    return [drivers, brokers, violations, faults, resets]
  }

  /// A counter of all brokers.
  private func broker(_ name: String, unit: String? = nil, _ help: String, _ path: KeyPath<Counters, Int>)
    -> MetricFamily
  {
    var family = MetricFamily(.counter, name, unit: unit, help: help)
    for device in devices {
      guard let counters = device.counters else { continue }
      family.add(Self.labels(device), counters[keyPath: path], created: device.brokerSince)
    }
    return family
  }

  // MARK: Block devices

  private var requests: [MetricFamily] {
    var requests = MetricFamily(
      .counter, "bulkhead_requests", help: "Requests accepted from clients of a block device, by operation.")
    var bytes = MetricFamily(
      .counter, "bulkhead_request_bytes", unit: "bytes", help: "Bytes of the requests to read and to write.")
    var errors = MetricFamily(.counter, "bulkhead_request_errors", help: "Requests answered with an error.")
    var replayed = MetricFamily(
      .counter, "bulkhead_requests_replayed", help: "Requests given to a second or later driver.")
    var inFlight = MetricFamily(
      .gauge, "bulkhead_requests_in_flight", help: "Parts of requests that the driver has, or the next one will get.")
    var clients = MetricFamily(.gauge, "bulkhead_clients", help: "Connections to the outlet of a block device.")
    var duration = MetricFamily(
      .histogram, "bulkhead_request_duration_seconds", unit: "seconds",
      help: "Time from a request having come as a whole to its answer being ready, by operation.")
    for device in devices where device.isBlock {
      guard let counters = device.counters else { continue }
      let labels = Self.labels(device)
      func count(_ family: inout MetricFamily, _ name: String, _ label: String, _ value: Int) {
        family.add(labels + [Label(name, label)], value, created: device.brokerSince)
      }
      count(&requests, "operation", "read", counters.reads)
      count(&requests, "operation", "write", counters.writes)
      count(&requests, "operation", "flush", counters.flushes)
      count(&requests, "operation", "discard", counters.discards)
      count(&bytes, "operation", "read", counters.bytesRead)
      count(&bytes, "operation", "write", counters.bytesWritten)
      errors.add(labels, counters.errors, created: device.brokerSince)
      replayed.add(labels, counters.replayed, created: device.brokerSince)
      inFlight.add(labels, counters.inFlight)
      clients.add(labels, counters.clients)
      for latency in device.latencies where latency.counts.count == RequestLatency.bounds.count + 1 {
        duration.add(
          MetricFamily.Distribution(
            labels: labels + [Label("operation", latency.operation)],
            bounds: RequestLatency.bounds.map { Double($0) / 1e6 }, counts: latency.counts,
            sum: Double(latency.total) / 1e9, created: device.brokerSince))
      }
    }
    return [requests, bytes, errors, replayed, inFlight, clients, duration]
  }

  // MARK: Network devices

  private var network: [MetricFamily] {
    var packets = MetricFamily(
      .counter, "bulkhead_network_packets", help: "Packets of the interface of a network device, since it was made.")
    var bytes = MetricFamily(
      .counter, "bulkhead_network_bytes", unit: "bytes", help: "Bytes of the interface, since it was made.")
    var errors = MetricFamily(.counter, "bulkhead_network_errors", help: "Errors of the interface, since it was made.")
    var dropped = MetricFamily(
      .counter, "bulkhead_network_dropped", help: "Packets that the interface dropped, since it was made.")
    var refused = MetricFamily(
      .counter, "bulkhead_network_frames_refused", help: "Frames from the driver that the kernel did not take.")
    var carrier = MetricFamily(.gauge, "bulkhead_network_carrier", help: "Whether the interface has carrier.")
    for device in devices {
      guard let interface = device.outlet?.interface else { continue }
      let labels = Self.labels(device) + [Label("interface", interface.name)]
      let statistics = interface.statistics
      func count(_ family: inout MetricFamily, _ received: Int, _ sent: Int) {
        family.add(labels + [Label("direction", "receive")], received)
        family.add(labels + [Label("direction", "transmit")], sent)
      }
      count(&packets, statistics.receivedPackets, statistics.sentPackets)
      count(&bytes, statistics.receivedBytes, statistics.sentBytes)
      count(&errors, statistics.receiveErrors, statistics.sendErrors)
      count(&dropped, statistics.receiveDropped, statistics.sendDropped)
      if let counters = device.counters {
        refused.add(labels, counters.framesRefused, created: device.brokerSince)
      }
      carrier.add(labels, interface.carrier ? 1 : 0)
    }
    return [packets, bytes, errors, dropped, refused, carrier]
  }
}

extension Device {
  /// Vendor and model in words.
  var modelName: String {
    [vendor, model].filter { !$0.isEmpty }.joined(separator: " ")
  }

  /// Whether its counters are those of a block device.
  public var isBlock: Bool { outlet?.interface == nil && !latencies.isEmpty }
}
