/// The lines of a network device on its status page.
enum InterfaceLines {
  static func put(_ interface: Outlet.Interface, _ port: Outlet.Port?, _ page: inout Page) {
    var place = "\(interface.name), index \(interface.index)"
    if let namespace = interface.namespace { place += ", in the network namespace \(namespace)" }
    if let master = interface.master { place += ", part of \(master)" }
    page.line("Interface", place)
    var state = [
      interface.up ? "up" : "down", interface.carrier ? "carrier" : "no carrier", interface.address,
      "MTU \(interface.mtu)",
    ]
    if interface.promiscuous { state.append("promiscuous") }
    if interface.allMulticast { state.append("all multicast") }
    if !interface.multicast.isEmpty { state.append(groups(interface.multicast.count)) }
    page.line("", state.joined(separator: ", "))
    let statistics = interface.statistics
    page.line(
      "",
      "received " + count(statistics.receivedPackets, statistics.receivedBytes)
        + troubles(statistics.receiveErrors, statistics.receiveDropped))
    page.line(
      "",
      "sent " + count(statistics.sentPackets, statistics.sentBytes)
        + troubles(statistics.sendErrors, statistics.sendDropped))
    let pairs = interface.queuePairs == 1 ? "1 queue pair" : "\(interface.queuePairs) queue pairs"
    page.line("Datapath", datapath(interface.datapath) + ", " + pairs)
    if let port { put(port, &page) }
  }

  private static func put(_ port: Outlet.Port, _ page: inout Page) {
    var model = "\(port.model), \(port.address)"
    if !port.firmware.isEmpty { model += ", firmware \(port.firmware)" }
    page.line("Port", model)
    page.line(
      "",
      "MTU up to \(port.maximumMTU), offloads: "
        + (port.offloads.isEmpty ? "none" : port.offloads.joined(separator: ", ")))
    var link = port.up ? "up" : "down"
    if port.up { link += port.speed == 0 ? ", speed unknown" : ", \(port.speed) Mbit/s" }
    if port.up { link += port.fullDuplex ? ", full duplex" : ", half duplex" }
    page.line("Link", link, port.up ? .good : .warning)
    page.line("Settings", port.settings.map(words))
    page.line("", port.settingsError.map { "the driver refused what the interface says now: \($0)" }, .bad)
    let counted = port.counters.filter { $0.value > 0 }.sorted { $0.key < $1.key }
    page.lines("NIC counters", counted.map { "\($0.key) \($0.value)" })
  }

  private static func words(_ settings: Outlet.PortSettings) -> String {
    var words = [settings.enabled ? "enabled" : "disabled", settings.address, "MTU \(settings.mtu)"]
    if settings.promiscuous { words.append("promiscuous") }
    if settings.allMulticast { words.append("all multicast") }
    if !settings.multicast.isEmpty { words.append(groups(settings.multicast.count)) }
    return words.joined(separator: ", ")
  }

  private static func groups(_ count: Int) -> String {
    count == 1 ? "1 multicast address" : "\(count) multicast addresses"
  }

  private static func datapath(_ name: String?) -> String {
    switch name {
    case "vhost": "vhost (the kernel moves the frames)"
    case "broker": "broker (it moves the frames itself)"
    default: "none"
    }
  }

  private static func count(_ packets: Int, _ bytes: Int) -> String {
    "\(packets) packets (\(HumanUnits.bytes(bytes)))"
  }

  private static func troubles(_ errors: Int, _ dropped: Int) -> String {
    var words: [String] = []
    if errors > 0 { words.append("\(errors) errors") }
    if dropped > 0 { words.append("\(dropped) dropped") }
    return words.isEmpty ? "" : ", " + words.joined(separator: ", ")
  }
}
