import CBulkhead
import Control
import Glibc
import Netlink
import PCI
import Platform
import Protocol
import TAP

/// The outlet of a network device: an interface that the administrator configures as that of any NIC.
///
/// The supervisor makes it, holds its files, and tells the broker how the administrator wants it. The broker moves frames
/// or has vhost-net move them, and sets the carrier.
final class NetworkOutlet: DeviceOutlet {
  let deviceClass = DeviceClass.network
  var awaitsReport = false

  unowned let session: DeviceSession
  var interface: NetworkInterface?
  var monitor: LinkMonitor?
  /// The interface was made, and no driver has come since.
  var isNew = false
  /// One open vhost-net for each pair, until the broker has them.
  private var vhost: [Int32] = []
  /// What the present broker was given; nil while there is none.
  private(set) var datapath: DeviceSettings.Interface.Datapath?
  /// The present broker takes settings.
  var isBrokerReady = false
  /// What the kernel's own driver of the NIC had as its address; right most likely, but not for sure.
  var formerAddress: HardwareAddress?

  // What the present driver has said.
  var port: NetworkPort?
  var link = NetworkLink.down
  /// Settings that the present broker was told and no driver has got past, the last ones last.
  var sent: [NetworkSettings] = []
  /// The number of the last settings that any broker was told.
  var settingsCount: UInt32 = 0
  var applied: NetworkSettings?
  /// Why the driver could not bring the port to the last settings; 0: it could.
  var settingsError: UInt16 = 0
  var statistics: NetworkStatistics?

  var balance = FrameBalance(received: 0)
  /// Reports are of the driver of the balance.
  var isBalanceDue = false
  /// No driver is there, or none that gives frames yet.
  var isAtRest = true
  /// ``Link/receivedOrDropped`` before the present driver could give any frame: when its port is heard of, it may have.
  private(set) var receivedAtRest: UInt64 = 0
  private var balanceTimer: EventLoop.Token?

  init(of session: DeviceSession) { self.session = session }

  /// The session may be gone already, as when bulkheadd leaves its brokers to the next one.
  deinit { closeVhost() }

  var settings: DeviceSettings.Interface { session.controller.settings.outlet.interface }

  /// What is to be made.
  func wish() throws(Failure) -> NetworkInterface.Wish {
    let text = settings.name ?? DeviceSession.interfaceName(session.address, name: session.name)
    var wish = NetworkInterface.Wish(name: try InterfaceName(text))
    wish.namespace = settings.namespace
    wish.queuePairs =
      session.assignment?.driver.map { DeviceSession.queues(session.controller.settings, $0.manifest) } ?? 1
    wish.address =
      settings.address ?? session.record.hardwareAddress.flatMap { HardwareAddress($0) } ?? formerAddress
    wish.mtu = settings.mtu
    wish.master = settings.master
    wish.alias = "bulkhead \(session.address)"
    return wish
  }

  // MARK: From start to stop

  func claim() throws(Failure) -> [Refusal] {
    guard interface == nil else { return [] }
    if settings.datapath == .vhost { Descriptor.close(try openVhost()) }
    // It has no name to take: it is there already, perhaps elsewhere.
    if session.host.files.holds(session.address) { return [] }
    let wish = try wish()
    let former = formerInterface()
    formerAddress = former?.address ?? formerAddress
    // Ours goes by another name now, and what is called like it is not in its way.
    if let record = session.record.interface, record.configuredName == wish.name.description,
      record.namespace == wish.namespace, try NetworkInterface.isThere(record)
    {
      return []
    }
    guard let stranger = try NetworkInterface.stranger(for: wish, record: session.record.interface) else { return [] }
    // The one of the NIC's own driver is about to go.
    if wish.namespace == nil, stranger.name == former?.name { return [] }
    let kind = stranger.kind.isEmpty ? "an interface" : "an interface of kind \(stranger.kind)"
    let alias = stranger.alias.isEmpty ? "" : " (\(stranger.alias))"
    return [
      Refusal(
        code: "interface-taken", message: "there is \(kind) called \(wish.name) already\(alias)",
        hint: "choose another name with outlet.interface, or see what it is: ip -d link show \(wish.name)",
        overridable: false)
    ]
  }

  /// The interface that the kernel's own driver of the NIC has made.
  private func formerInterface() -> (name: String, address: HardwareAddress?)? {
    let folder = "/sys/bus/pci/devices/\(session.address)/net"
    guard let name = FileText.names(in: folder).first else { return nil }
    let text = FileText.contents("\(folder)/\(name)/address") ?? ""
    let address = HardwareAddress(String(text.prefix { !$0.isWhitespace })).flatMap { $0.isUsable ? $0 : nil }
    return (name, address)
  }

  func open() throws(Failure) {
    guard interface == nil else { return }
    let wish = try wish()
    if let kept = keptInterface(wish) {
      interface = kept
      try follow()
      return keepFiles()
    }
    if let record = session.record.interface {
      if record.configuredName == wish.name.description, record.namespace == wish.namespace,
        let found = try NetworkInterface.found(record, queuePairs: wish.queuePairs)
      {
        interface = found
        session.log.info("found again: \(found.tap.name)")
        keepFiles()
        return try follow()
      }
      do throws(Failure) { try NetworkInterface.delete(record) } catch { session.report(error) }
      session.record.interface = nil
    }
    let made = try make(wish)
    if session.record.hardwareAddress == nil { session.record.hardwareAddress = formerAddress.map { "\($0)" } }
    session.record.interface = made.record(
      configuredName: wish.name, namespace: wish.namespace, alias: wish.alias)
    // What nobody has a record of must not outlive us.
    try session.host.state.save(session.record)
    try made.tap.setPersistent(true)
    interface = made
    isNew = true
    keepFiles()
    session.log.info("interface \(wish.name)\(wish.namespace.map { " in \($0)" } ?? "") made")
    try follow()
  }

  private func make(_ wish: NetworkInterface.Wish) throws(Failure) -> NetworkInterface {
    do throws(Failure) { return try NetworkInterface.made(wish) } catch {
      guard [EPERM, EACCES].contains(error.errno), !session.host.isPrivileged else { throw error }
      var failure = error
      failure.hint += "; run bulkheadd as root, or with network interfaces of its own: unshare -Urn bulkheadd ..."
      throw failure
    }
  }

  /// The carrier goes with the driver, and the interface with the device: there is nobody who waits.
  func close() {}

  func remove() {
    stopFollowing()
    if let interface {
      interface.delete()
    } else if let record = session.record.interface {
      do throws(Failure) { try NetworkInterface.delete(record) } catch { session.report(error) }
    }
    interface = nil
    forgetFiles(because: "the device is given back")
    session.record.interface = nil
    if !session.record.bindings.isEmpty { try? session.host.state.save(session.record) }
  }

  // MARK: Brokers

  func complete(_ configuration: inout BrokerConfiguration) throws(Failure) {
    // Somebody may have deleted it.
    try open()
    guard let interface else { throw Failure("tap-interface", "serve an interface: there is none") }
    let pairs = interface.tap.queues.count
    closeVhost()
    let datapath = try chooseDatapath(pairs)
    self.datapath = datapath
    configuration.queues = UInt8(2 * pairs)
    configuration.mapsPayload = false
    configuration.network = NetworkOutletConfiguration(
      queuePairs: UInt8(pairs), usesVhost: datapath == .vhost,
      busyPollMicroseconds: UInt32(clamping: (settings.busyPoll ?? LookingOn.vhost) / 1000))
  }

  /// Opens vhost-net for each pair where it is wanted and there.
  private func chooseDatapath(_ pairs: Int) throws(Failure) -> DeviceSettings.Interface.Datapath {
    guard settings.datapath != .broker else { return .broker }
    do throws(Failure) {
      while vhost.count < pairs { vhost.append(try openVhost()) }
      return .vhost
    } catch {
      closeVhost()
      if settings.datapath == .vhost { throw error }
      session.log.info("the broker moves frames itself: \(error.oneLine)")
      return .broker
    }
  }

  /// An open /dev/vhost-net; each broker needs one of its own, which only its first owner can use.
  private func openVhost() throws(Failure) -> Int32 {
    let path = "/dev/vhost-net"
    let missing = KernelModule.load("vhost_net")
    return try checked(
      bh_vhost_open(path), "vhost-open", "open \(path)",
      hint: (missing.map { $0 + "; or" } ?? "the user of bulkheadd must be able to open it; or")
        + " set outlet.datapath to \"auto\" or \"broker\", then the broker moves frames itself")
  }

  private func closeVhost() {
    for file in vhost { Descriptor.close(file) }
    vhost = []
  }

  var brokerFiles: [Int32] { (interface?.tap.queues.map(\.file) ?? []) + vhost }

  /// What it was given it has; a copy here would keep vhost-net running when the broker is gone.
  func brokerStarted() { closeVhost() }

  private func rest() {
    isAtRest = true
    guard let interface, let link = try? interface.control.link(index: interface.index) else { return }
    receivedAtRest = link.receivedOrDropped
  }

  func brokerConfigured() {
    isBrokerReady = true
    isBalanceDue = false
    rest()
    sendSettings()
    guard datapath == .vhost else { return }
    balanceTimer = session.host.loop.after(1_000_000_000, every: 1_000_000_000) { [weak self] in
      guard let self, self.port != nil, self.monitor?.link.isUp == true else { return }
      try? self.session.broker?.send(.report)
    }
  }

  func brokerEnded() {
    isBrokerReady = false
    datapath = nil
    forgetDriver()
    sent = []
    if let balanceTimer { session.host.loop.remove(balanceTimer) }
    balanceTimer = nil
    // It may have had no time to do so. An interface that was deleted has none.
    try? interface?.tap.setCarrier(false)
  }

  func driverEnded() { forgetDriver() }

  /// The kernel has stopped with the last driver's frames: now it is known how many it took.
  func quiesced() {
    rest()
    if datapath == .vhost { try? session.broker?.send(.report) }
  }

  private func forgetDriver() {
    port = nil
    link = .down
    applied = nil
    settingsError = 0
    statistics = nil
  }

  func announce() {}

  /// A NIC's users do not lose what they have written.
  func uses() -> [String] { [] }
}
