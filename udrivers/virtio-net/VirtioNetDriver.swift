import DriverKit
import Glibc

/// The driver of virtio's network device over PCI: one port, one pair of queues. The rings of the class and those of the
/// device are of one kind, with the same header before a frame, so that a buffer goes from one to the other as it is.
public final class VirtioNetDriver: NetworkDriver {
  public static let name = "virtio-net"
  public static let version = "1.0"

  /// Buffers of each direction, as long as both virtqueues have so many descriptors.
  private static let buffers = 256
  /// The queue of commands, where there is one pair of others.
  private static let controlIndex = 2
  /// The driver's only timer.
  static let watchdog = 0

  typealias ConfigReader = (UInt16, UInt8) throws(DriverFailure) -> UInt32

  let device: Device
  private let readConfig: ConfigReader
  private let checksums: Bool
  private let segments: Bool

  private var found: Transport?
  private(set) var features: Features = []
  /// The largest MTU that the device has.
  private(set) var deviceMTU = NetworkClass.maximumMTU

  /// Made once, then only used in place: nothing here is counted or copied for a frame.
  let receive: UnsafeMutablePointer<ReceivePath>
  let transmit: UnsafeMutablePointer<TransmitPath>
  private let control: UnsafeMutablePointer<ControlQueue>
  let outbound: NetworkQueue
  let inbound: NetworkQueue

  /// Nil until the first settings: no frames are taken then.
  private(set) var settings: NetworkSettings?
  private(set) var lastLink = NetworkLink.down
  private var permanentAddress = HardwareAddress(bits: 0)
  /// The address that the device has, as far as we know.
  private var currentAddress = HardwareAddress(bits: 0)
  var counted = NetworkStatistics()

  /// Options: `segmentation` and `checksum`, 0 or 1 (1).
  public convenience init(device: Device, options: Options) throws(DriverFailure) {
    try self.init(device: device, options: options) { offset, width throws(DriverFailure) in
      try device.readConfig(offset, width: width)
    }
  }

  init(device: Device, options: Options, readConfig: @escaping ConfigReader) throws(DriverFailure) {
    guard device.interruptCount > 0, device.networkQueues.count >= 2 else {
      throw DriverFailure(.resources, "at least one interrupt vector and two queues are needed")
    }
    self.device = device
    self.readConfig = readConfig
    checksums = try options.number("checksum", default: 1, in: 0...1) == 1
    segments = try options.number("segmentation", default: 1, in: 0...1) == 1
    outbound = device.networkQueues[0]
    inbound = device.networkQueues[1]
    let largest = NetworkClass.maximumFrame(mtu: NetworkClass.maximumMTU)
    let receive = try ReceivePath(
      buffers: min(Self.buffers, inbound.size), capacity: largest, arena: &device.arena)
    let transmit = try TransmitPath(
      buffers: min(Self.buffers, outbound.size),
      capacity: checksums && segments ? NetworkClass.maximumSegmentedFrame : largest, arena: &device.arena)
    let control = try ControlQueue(Self.controlIndex, arena: &device.arena)
    self.receive = .allocate(capacity: 1)
    self.receive.initialize(to: receive)
    self.transmit = .allocate(capacity: 1)
    self.transmit.initialize(to: transmit)
    self.control = .allocate(capacity: 1)
    self.control.initialize(to: control)
  }

  deinit {
    receive.deinitialize(count: 1)
    receive.deallocate()
    transmit.deinitialize(count: 1)
    transmit.deallocate()
    control.deinitialize(count: 1)
    control.deallocate()
  }

  func transport() throws(DriverFailure) -> Transport {
    guard let found else { throw DriverFailure(.unsupported, "the device was not started") }
    return found
  }

  // MARK: Start and stop, virtio 1.2 section 3.1.1

  public func start() throws(DriverFailure) -> NetworkPort {
    let transport = try Transport(try Structure.find(readConfig), device)
    found = transport
    try transport.reset()
    try transport.add(.acknowledge)
    try transport.add(.driver)
    try negotiate(transport)
    permanentAddress = try transport.address()
    guard permanentAddress.isUsable else {
      throw DriverFailure(.unsupported, "the device's address \(permanentAddress) is none that an interface may have")
    }
    currentAddress = permanentAddress
    if features.contains(.mtu) { deviceMTU = min(NetworkClass.maximumMTU, try transport.mtu()) }
    // virtio 1.2 section 5.1.4.1: a device must not say less.
    guard deviceMTU >= NetworkClass.minimumMTU else {
      throw DriverFailure(.unsupported, "the device's MTU of \(deviceMTU) is below \(NetworkClass.minimumMTU)")
    }
    transmit.pointee.largest = NetworkClass.maximumFrame(mtu: deviceMTU)
    try program(transport)
    try transport.add(.driverOK)
    Log.info(
      "\(permanentAddress), features 0x\(String(features.rawValue, radix: 16)), "
        + "\(receive.pointee.ring.size) and \(transmit.pointee.ring.size) descriptors, MTU up to \(deviceMTU)")
    return NetworkPort(
      address: permanentAddress, maximumMTU: UInt16(deviceMTU), offloads: offloads, queuePairs: 1,
      model: "virtio-net", firmware: "")
  }

  private func negotiate(_ transport: Transport) throws(DriverFailure) {
    let offered = transport.offeredFeatures()
    guard offered.contains(.version1) else {
      throw DriverFailure(.unsupported, "the device offers the legacy interface only (no VIRTIO_F_VERSION_1)")
    }
    guard offered.contains(.accessPlatform) else {
      throw DriverFailure(
        .unsupported,
        "the device does not offer VIRTIO_F_ACCESS_PLATFORM: its DMA would go past the IOMMU (QEMU: iommu_platform=on)")
    }
    guard offered.isSuperset(of: .required) else {
      throw DriverFailure(.unsupported, "the device has no address of its own (no VIRTIO_NET_F_MAC)")
    }
    features = Features.choose(from: offered, checksums: checksums, segments: segments)
    // Commands that the device cannot take are none.
    if transport.queueCount <= Self.controlIndex {
      features.subtract([.controlQueue, .controlReceive, .controlAddress])
    }
    try transport.accept(features)
  }

  private var offloads: NetworkPort.Offloads {
    var offloads: NetworkPort.Offloads = []
    if features.contains(.checksum) { offloads.insert(.transmitChecksum) }
    if features.contains(.hostTSO4) { offloads.insert(.transmitTCP4) }
    if features.contains(.hostTSO6) { offloads.insert(.transmitTCP6) }
    if features.contains(.hostECN) { offloads.insert(.transmitECN) }
    if features.contains(.guestChecksum) { offloads.insert(.receiveChecksum) }
    return offloads
  }

  /// Sets up vectors and queues: configuration, receive, transmit; they fall together where there are fewer than three.
  private func program(_ transport: Transport) throws(DriverFailure) {
    let last = device.interruptCount - 1
    try transport.setConfigurationVector(0)
    try receive.pointee.program(transport, vector: min(1, last), features)
    try transmit.pointee.program(transport, vector: min(2, last), features, outbound)
    if features.contains(.controlQueue) {
      try control.pointee.program(transport, hasEventIndex: features.contains(.eventIndex))
    }
  }

  public func stop() throws(DriverFailure) {
    try transport().reset()
    Log.info("device reset, \(counted[.hangs]) hangs")
  }

  // MARK: Settings

  public func apply(_ new: NetworkSettings) throws(DriverFailure) -> Int32 {
    let transport = try transport()
    _ = try transport.status()
    guard Int(new.mtu) <= deviceMTU, new.address.isUsable else { return EINVAL }
    let errno = try setFilter(new, transport)
    guard errno == 0 else { return errno }
    settings = new
    (receive.pointee.isOpen, transmit.pointee.isOpen) = (new.isEnabled, new.isEnabled)
    receive.pointee.refill()
    return 0
  }

  /// Sets address, promiscuous mode and tables, virtio 1.2 section 5.1.6.5. A device without filters takes what it takes.
  /// - Returns: 0, or the errno for what the device cannot do.
  private func setFilter(_ new: NetworkSettings, _ transport: Transport) throws(DriverFailure) -> Int32 {
    var unicast: [HardwareAddress] = []
    if new.address != currentAddress {
      if features.contains(.controlAddress) {
        guard try perform(.address, ControlQueue.bytes(of: new.address), transport) else { return EADDRNOTAVAIL }
        currentAddress = new.address
      } else if features.contains(.controlReceive) {
        unicast = [new.address]
      } else {
        return EOPNOTSUPP
      }
    }
    guard features.contains(.controlReceive) else { return 0 }
    guard try perform(.promiscuous, [new.isPromiscuous ? 1 : 0], transport),
      try perform(.allMulticast, [new.receivesAllMulticast ? 1 : 0], transport),
      try perform(
        .addressTable, ControlQueue.table(unicast: unicast, multicast: new.multicast), transport)
    else { return EIO }
    return 0
  }

  private func perform(
    _ command: ControlQueue.Command, _ bytes: [UInt8], _ transport: Transport
  ) throws(DriverFailure) -> Bool {
    try control.pointee.perform(command, bytes, transport, device)
  }

  // MARK: Link

  public func link() throws(DriverFailure) -> NetworkLink {
    lastLink = try transport().link(features)
    return lastLink
  }

  /// Looks at the link, and tells the broker if it has changed.
  func checkLink() throws(DriverFailure) {
    let before = lastLink
    let now = try link()
    guard now != before else { return }
    Log.info(now.isUp ? "link up" : "link down")
    try device.reportLink(now)
  }

  public func statistics() throws(DriverFailure) -> NetworkStatistics {
    _ = try transport().status()
    counted[.receivedFrames] = receive.pointee.frames
    counted[.receivedOctets] = receive.pointee.octets
    counted[.droppedInbound] = receive.pointee.dropped
    counted[.implausibleInbound] = receive.pointee.implausible
    counted[.sentFrames] = transmit.pointee.frames
    counted[.sentOctets] = transmit.pointee.octets
    counted[.segmented] = transmit.pointee.segmented
    counted[.droppedOutbound] = transmit.pointee.dropped
    return counted
  }

  // MARK: Frames

  public func poll() throws(DriverFailure) -> Bool {
    let came = try receive.pointee.poll(inbound)
    return try transmit.pointee.reclaim(outbound) || came
  }

  public func queueReady(_ queue: NetworkQueue) throws(DriverFailure) -> Bool {
    switch queue.index {
    case 0:
      guard try transmit.pointee.take(outbound) else { return false }
      if !transmit.pointee.watch.isRunning { startWatching() }
      return true
    case 1: return try receive.pointee.reclaim(inbound)
    default: return false
    }
  }

  public func armInterrupts() throws(DriverFailure) {
    receive.pointee.ring.arm()
    transmit.pointee.arm()
  }

  public func interrupt(_ vector: Int) throws(DriverFailure) {
    // Without event indexes the device would interrupt for each frame while the driver polls.
    if vector == min(1, device.interruptCount - 1) { receive.pointee.ring.disarm() }
    if vector == 0 { try checkLink() }
  }
}
