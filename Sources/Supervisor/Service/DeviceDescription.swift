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

  /// A configured device with all that is known of it.
  init(_ session: DeviceSession) {
    let label = session.state.label
    self = session.source.description(state: label)
    let controller = session.controller!
    name = session.name
    configured = session.assignment != nil || !session.source.isPresent
    driver = session.assignment?.driver?.manifest.name
    driverVersion = session.driverVersion
    reason = controller.reason.isEmpty ? nil : controller.reason
    hint = controller.refusals.first?.hint ?? controller.failure.flatMap { $0.hint.isEmpty ? nil : $0.hint }
    if session.state == .running { hint = nil }
    since = session.since
    generation = Int(controller.generation)
    brokerPid = session.broker.map { Int($0.process.pid) }
    driverPid = session.driver.map { Int($0.pid) }
    restarts = controller.restarts
    brokerRestarts = controller.brokerRestarts
    outlet = Outlet(session)
    counters = session.counters.map(Counters.init)
    violations = controller.ledger.entries.map {
      ViolationCount(name: $0.violation.name, count: $0.count, detail: $0.detail, time: $0.time)
    }
    dmaFault = session.lastFault
  }
}

extension Outlet {
  /// Nil while the device has none.
  fileprivate init?(_ session: DeviceSession) {
    guard !session.units.isEmpty || session.listener != nil else { return nil }
    let kernel = session.outlet?.units ?? []
    self.init(
      socket: session.listener == nil ? nil : session.socketPath,
      units: session.units.map { unit in
        let connected = kernel.first { $0.index == Int(unit.index) }
        return Unit(
          index: Int(unit.index), identifier: Int(unit.identifier),
          name: session.outletName(of: unit), export: unit.exportName, size: Int(unit.size),
          blockSize: Int(unit.blockSize),
          readOnly: unit.features.contains(.readOnly) || session.controller.settings.outlet.readOnly,
          model: unit.model, serial: unit.serial,
          kernelDevice: connected.map { "/dev/nbd\($0.nbd)" }, link: connected?.link)
      })
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
  }
}
