import Control
import PCI
import Platform
import Protocol

/// What a broker says.
extension DeviceSession {
  func handle(_ envelope: Envelope<BrokerEvent>, _ files: [Int32]) {
    let isCurrent = envelope.generation == controller.generation
    switch envelope.message {
    case .configured:
      outlet?.brokerConfigured()
      controller.brokerConfigured()
    case .driverHello(let name, let version):
      guard isCurrent else { return }
      driverVersion = version
      if let expected = assignment?.driver?.manifest.name, name != expected {
        log.warning("the driver calls itself \"\(name)\", its manifest \"\(expected)\"")
      }
    case .unit, .networkPort, .networkLink, .networkApplied, .networkStatistics:
      outlet?.take(envelope.message, files)
      reportArrived()
    case .driverReady: if isCurrent { controller.driverReady() }
    case .driverLost(let loss): if isCurrent { driverLost(loss) }
    case .driverFailed(let code, let errno, let status, let detail):
      guard isCurrent else { return }
      driverComplaint = DeviceSession.words(code, errno, status, detail)
      if code == .deviceGone, source.isGone { controller.disappeared("the device does not answer any more") }
    case .driverStopped: log.debug("the driver has shut the device down")
    case .quiesced:
      guard isCurrent else { return }
      outlet?.quiesced()
      controller.quiesced()
    case .violation(let violation, let count, let detail): violated(violation, count: Int(count), detail)
    case .latency(let histogram): latencies[histogram.kind] = histogram
    case .counters(let counters):
      outlet?.take(envelope.message, files)
      countersArrived(counters)
    case .failed(let code, let step, let errno, let hint):
      let failure = Failure(code, step, errno: errno, hint: hint)
      brokerComplaint = failure
      controller.note(failure)
      report(failure)
      // The kernel wants the device back: it is being unplugged, and waits for us.
      if code == "device-requested" { controller.disappeared("the kernel wants the device back") }
    case .down: log.debug("the broker has closed everything")
    }
  }

  private func driverLost(_ loss: DriverLoss) {
    if source.isGone { return controller.disappeared("the device does not answer any more") }
    let reason =
      switch loss {
      case .hungUp: "the driver closed its control socket"
      case .violation: "nothing that the driver says can be believed any more"
      case .unresponsive: "the driver did not answer the heartbeat"
      case .startTimeout: "the driver did not become ready in time"
      case .failed: "the driver gave up: \(driverComplaint ?? "no reason given")"
      }
    // It was to stop and cannot any more: nothing is to be waited for.
    if controller.state == .stoppingDriver { return killDriver() }
    controller.driverFailed(reason)
  }

  private static func words(_ code: FailureCode, _ errno: UInt16, _ status: UInt32, _ detail: String) -> String {
    var text = "\(code)"
    if !detail.isEmpty { text += ": \(detail)" }
    if errno != 0 { text += " (\(Failure.name(of: Int32(errno))))" }
    if status != 0 { text += " (device status 0x\(String(status, radix: 16)))" }
    return text
  }

  /// The driver or its device did what it must not do.
  /// - Parameter isInferred: it was not seen, but must have been; it has no consequence.
  func violated(_ violation: Violation, count: Int, _ detail: String, isInferred: Bool = false) {
    log.warning(
      "violation \(violation.name) (\(count)): \(detail)",
      metadata: ["event": "violation", "violation": "\(violation.name)"])
    publish("violation", "\(violation.name) (\(count)): \(detail)")
    if isInferred {
      controller.inferred(violation, count: count, detail: detail, time: WallClock.seconds())
    } else {
      controller.violated(violation, count: count, detail: detail, time: WallClock.seconds())
    }
  }

  /// The kernel's log tells of a DMA fault of this device.
  func faulted(_ fault: DMAFault) {
    let time = WallClock.seconds()
    if fault.requester != .previous || lastFault == nil {
      lastFault = DMAFaultDetail(
        device: "\(address)", access: fault.access, address: fault.address.map { "0x" + String($0, radix: 16) },
        reason: fault.reason, text: fault.text, time: time)
    }
    let place = fault.address.map { " at 0x\(String($0, radix: 16))" } ?? ""
    let detail = fault.requester == .previous ? fault.text : "DMA \(fault.access)\(place): \(fault.reason)"
    log.warning("the IOMMU refused: \(fault.text)", metadata: ["event": "dma-fault"])
    publish("dma-fault", "\(detail), attributed to \(address) (\(name))")
    controller.violated(.dmaFault, count: fault.count, detail: detail, time: time)
  }
}
