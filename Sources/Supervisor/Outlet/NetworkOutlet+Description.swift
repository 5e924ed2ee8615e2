import Control
import Netlink
import Platform
import Protocol

extension NetworkOutlet {
  func description() -> Outlet? {
    look()
    guard let interface, let monitor else { return nil }
    let link = monitor.link
    var outlet = Outlet(socket: nil, units: [])
    outlet.interface = Outlet.Interface(
      name: link.name, index: Int(link.index),
      namespace: interface.namespaceName(home: session.record.interface?.namespace),
      master: link.master.flatMap { try? interface.control.link(index: $0)?.name },
      address: link.address.map { "\($0)" } ?? "", mtu: Int(link.mtu), up: link.isUp, carrier: link.hasCarrier,
      promiscuous: link.isPromiscuous, allMulticast: link.allMulticast > 0,
      multicast: monitor.multicast.map { "\($0)" }, queuePairs: interface.tap.queues.count,
      datapath: datapath?.rawValue, statistics: Outlet.InterfaceStatistics(link.statistics))
    outlet.port = port.map { Outlet.Port($0, self) }
    return outlet
  }
}

extension Outlet.InterfaceStatistics {
  init(_ statistics: LinkStatistics) {
    self.init()
    receivedPackets = Int(clamping: statistics.receivedPackets)
    receivedBytes = Int(clamping: statistics.receivedBytes)
    receiveErrors = Int(clamping: statistics.receiveErrors)
    receiveDropped = Int(clamping: statistics.receiveDropped)
    sentPackets = Int(clamping: statistics.sentPackets)
    sentBytes = Int(clamping: statistics.sentBytes)
    sendErrors = Int(clamping: statistics.sendErrors)
    sendDropped = Int(clamping: statistics.sendDropped)
  }
}

extension Outlet.Port {
  fileprivate init(_ port: NetworkPort, _ outlet: NetworkOutlet) {
    self.init(
      model: port.model, firmware: port.firmware, address: "\(port.address)", maximumMTU: Int(port.maximumMTU),
      offloads: port.offloads.words, queuePairs: Int(port.queuePairs), up: outlet.link.isUp,
      speed: Int(outlet.link.speed), fullDuplex: outlet.link.isFullDuplex,
      settings: outlet.applied.map(Outlet.PortSettings.init),
      settingsError: outlet.settingsError == 0 ? nil : Failure.name(of: Int32(outlet.settingsError)),
      counters: outlet.statistics.map { statistics in
        Dictionary(
          uniqueKeysWithValues: NetworkStatistics.Counter.allCases.map { ($0.name, Int(clamping: statistics[$0])) })
      } ?? [:])
  }
}

extension Outlet.PortSettings {
  fileprivate init(_ settings: NetworkSettings) {
    self.init(
      enabled: settings.isEnabled, address: "\(settings.address)", mtu: Int(settings.mtu),
      promiscuous: settings.isPromiscuous, allMulticast: settings.receivesAllMulticast,
      multicast: settings.multicast.map { "\($0)" })
  }
}

extension NetworkPort.Offloads {
  /// `transmit-checksum` and so on.
  var words: [String] {
    let names: [(NetworkPort.Offloads, String)] = [
      (.transmitChecksum, "transmit-checksum"), (.transmitTCP4, "transmit-tcp4"), (.transmitTCP6, "transmit-tcp6"),
      (.transmitECN, "transmit-ecn"), (.receiveChecksum, "receive-checksum"), (.receiveTCP, "receive-tcp"),
    ]
    return names.filter { contains($0.0) }.map(\.1)
  }
}
