import Control
import PCI
import Protocol

extension Device {
  /// A device as PCI shows it.
  init(_ device: PCIDevice, state: String) {
    self.init(
      address: "\(device.address)", vendorID: hexadecimal(device.vendorID), deviceID: hexadecimal(device.deviceID),
      vendor: device.vendorName, model: device.deviceName, className: device.className, state: state)
    kernelDriver = device.driver
    group = device.iommuGroup
  }

  /// A device that is not Bulkhead's.
  /// - Parameter exemption: the entry that leaves it to the kernel.
  init(_ device: PCIDevice, exemption: DeviceEntry?) {
    self.init(device, state: "unconfigured")
    origin = exemption?.location.short
  }

  /// A configured device with all that is known of it.
  init(_ session: DeviceSession) {
    let label = session.state.label
    self = session.source.description(state: label)
    let controller = session.controller!
    name = session.name
    configured = session.assignment != nil || !session.source.isPresent
    desired = session.desired.rawValue
    origin = session.assignment.map { "\($0.entry.location.short)" }
    driver = session.assignment?.driver?.manifest.name
    driverVersion = session.driverVersion
    reason = controller.reason.isEmpty ? nil : controller.reason
    hint = controller.refusals.first?.hint ?? controller.failure.flatMap { $0.hint.isEmpty ? nil : $0.hint }
    if session.state == .running || session.state == .idle { hint = nil }
    since = session.since
    generation = Int(controller.generation)
    brokerPid = session.broker.map { Int($0.process.pid) }
    driverPid = session.driver.map { Int($0.pid) }
    restarts = controller.restarts
    brokerRestarts = controller.brokerRestarts
    outlet = session.outlet?.description()
    counters = session.counters.map(Counters.init)
    latencies = RequestKind.allCases.compactMap { session.latencies[$0] }.map(RequestLatency.init)
    brokerSince = session.brokerSince
    countedSince = session.countedSince
    violations = controller.ledger.entries.map {
      ViolationCount(name: $0.violation.name, count: $0.count, detail: $0.detail, time: $0.time)
    }
    dmaFault = session.lastFault
  }
}

extension Counters {
  fileprivate init(_ counters: BrokerCounters) {
    self.init()
    reads = Int(clamping: counters.reads)
    writes = Int(clamping: counters.writes)
    flushes = Int(clamping: counters.flushes)
    discards = Int(clamping: counters.discards)
    bytesRead = Int(clamping: counters.bytesRead)
    bytesWritten = Int(clamping: counters.bytesWritten)
    errors = Int(clamping: counters.errors)
    replayed = Int(clamping: counters.replayed)
    inFlight = Int(counters.inFlight)
    clients = Int(counters.clients)
    wakeups = Int(clamping: counters.wakeups)
    interrupts = Int(clamping: counters.interrupts)
    framesOut = Int(clamping: counters.framesOut)
    framesIn = Int(clamping: counters.framesIn)
    bytesOut = Int(clamping: counters.bytesOut)
    bytesIn = Int(clamping: counters.bytesIn)
    framesRefused = Int(clamping: counters.framesRefused)
    resets = Int(clamping: counters.resets)
  }
}

extension RequestLatency {
  fileprivate init(_ histogram: LatencyHistogram) {
    self.init(
      operation: histogram.kind.name, counts: histogram.counts.map { Int(clamping: $0) },
      total: Int(clamping: histogram.total))
  }
}
