/// The page of `bulkheadctl status DEVICE`.
public enum StatusPage {
  /// - Parameter now: seconds since 1970.
  public static func text(_ device: Device, now: Int, style: Style = .plain) -> String {
    var page = Page(style: style)
    page.title(device.name.map { "\(device.address) (\($0))" } ?? device.address)
    if !device.vendor.isEmpty {
      page.line("Device", "\(device.vendor) \(device.model) [\(device.vendorID):\(device.deviceID)]")
    }
    page.line("Class", device.className)
    if let emulation = device.emulation {
      page.line("Emulated", emulation.summary)
    } else {
      page.line("IOMMU group", device.group.map(String.init) ?? (device.vendor.isEmpty ? nil : "none"))
      page.line("Kernel driver", device.kernelDriver ?? "none")
    }
    page.line("Desired", device.desired + (device.origin.map { ", by \($0)" } ?? ""))
    guard device.state != "unconfigured" else {
      page.line("State", "unconfigured: the kernel's own, Bulkhead leaves it alone")
      return page.text
    }
    let since = device.since > 0 ? " for \(HumanUnits.duration(seconds: now - device.since))" : ""
    page.line("State", device.state + since, Style.tone(ofState: device.state))
    page.line("Reason", device.reason)
    page.line("Hint", device.hint)
    page.line("Driver", driver(device))
    page.line("Broker", device.brokerPid.map { "process \($0)" + restarts(device.brokerRestarts) })
    page.line("Restarts", "\(device.restarts)", device.restarts > 0 ? .warning : .plain)
    outlet(device, &page)
    counters(device, &page)
    violations(device, now, &page)
    return page.text
  }

  private static func driver(_ device: Device) -> String {
    guard let name = device.driver else { return "none" }
    var text = name + (device.driverVersion.map { " \($0)" } ?? "")
    if let pid = device.driverPid { text += ", process \(pid)" }
    if device.generation > 0 { text += ", generation \(device.generation)" }
    return text
  }

  private static func restarts(_ count: Int) -> String { count == 0 ? "" : ", restarted \(count) times" }

  private static func outlet(_ device: Device, _ page: inout Page) {
    guard let outlet = device.outlet else { return }
    if let interface = outlet.interface { InterfaceLines.put(interface, outlet.port, &page) }
    for unit in outlet.units {
      var text = unit.kernelDevice ?? "no kernel block device"
      if let link = unit.link { text += " (\(link))" }
      text += ", \(HumanUnits.bytes(unit.size)) in blocks of \(unit.blockSize)"
      if unit.readOnly { text += ", read-only" }
      page.line("Outlet", text)
      page.line("", "\(unit.model) serial \(unit.serial), namespace \(unit.identifier), export \"\(unit.export)\"")
    }
    page.line("NBD socket", outlet.socket)
  }

  private static func counters(_ device: Device, _ page: inout Page) {
    guard let counters = device.counters else { return }
    guard device.outlet?.interface == nil else {
      var lines = ["\(counters.interrupts) interrupts, \(counters.wakeups) wake-ups"]
      if device.outlet?.interface?.datapath == "broker" {
        lines.insert(
          "moved \(counters.framesOut) frames out (\(HumanUnits.bytes(counters.bytesOut))), \(counters.framesIn) in "
            + "(\(HumanUnits.bytes(counters.bytesIn))), \(counters.framesRefused) refused by the kernel", at: 0)
      }
      return page.lines("Broker's work", lines)
    }
    page.lines(
      "Requests",
      [
        "\(counters.reads) reads (\(HumanUnits.bytes(counters.bytesRead))), \(counters.writes) writes "
          + "(\(HumanUnits.bytes(counters.bytesWritten))), \(counters.flushes) flushes, \(counters.discards) discards",
        "\(counters.inFlight) in flight, \(counters.replayed) replayed, \(counters.errors) errors, "
          + "\(counters.clients) connections",
        "\(counters.interrupts) interrupts, \(counters.wakeups) wake-ups",
      ])
  }

  private static func violations(_ device: Device, _ now: Int, _ page: inout Page) {
    page.lines(
      "Violations",
      device.violations.isEmpty
        ? ["none"]
        : device.violations.map {
          "\($0.name): \($0.count), the last \(HumanUnits.duration(seconds: now - $0.time)) ago: \($0.detail)"
        }, device.violations.isEmpty ? .plain : .bad)
    guard let fault = device.dmaFault else { return }
    let name = device.name.map { " (\($0))" } ?? ""
    page.lines(
      "Last DMA fault",
      [
        "\(fault.access)\(fault.address.map { " at \($0)" } ?? ""): \(fault.reason), "
          + "\(HumanUnits.duration(seconds: now - fault.time)) ago",
        "attributed to \(device.address)\(name) by: \(fault.text)",
      ], .bad)
  }
}
