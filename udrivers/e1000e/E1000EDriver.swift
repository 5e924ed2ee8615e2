import DriverKit
import Glibc

/// The driver of the Intel 82574L: one port, one pair of virtqueues.
public final class E1000EDriver: NetworkDriver {
  public static let name = "e1000e"
  public static let version = "1.0"

  /// Buffers of each direction, as long as the virtqueue has so many descriptors.
  static let outboundBuffers = 128
  private static let inboundBuffers = 1024
  /// The driver's only timer.
  static let watchdog = 0

  let device: Device
  let adapter: Adapter
  let model: Model
  /// EITR: the least time between two interrupts of a vector, in units of 256 ns.
  let throttle: UInt32
  let offloads: NetworkPort.Offloads

  /// Made once at start, then only used in place: nothing here is counted or copied for a frame.
  let receive: UnsafeMutablePointer<ReceivePath>
  let transmit: UnsafeMutablePointer<TransmitPath>
  let outbound: NetworkQueue
  let inbound: NetworkQueue

  /// Nil until the first settings: the controller takes no frames then.
  private(set) var settings: NetworkSettings?
  private(set) var lastLink = NetworkLink.down
  var counted = NetworkStatistics()
  /// Resets since frames were last sent, in `E1000EDriver+Watchdog.swift`.
  var hangsInARow = 0
  /// The causes of ``Cause/queues`` that are unmasked, and have not come since.
  private var armed: UInt32 = 0

  /// Options: `moderation-us`, the least time between two interrupts (20); `segmentation`, `joining` and `checksum`, 0 or
  /// 1 (1).
  public init(device: Device, options: Options) throws(DriverFailure) {
    guard device.interruptCount > 0, device.networkQueues.count >= 2 else {
      throw DriverFailure(.resources, "at least one interrupt vector and two queues are needed")
    }
    guard let model = Model.find(vendor: device.grant.vendor, device: device.grant.device) else {
      throw DriverFailure(.unsupported, "device id 0x\(String(device.grant.device, radix: 16)) is not known")
    }
    let microseconds = try options.number("moderation-us", default: UInt32(20), in: 0...16000)
    let checksums = try options.number("checksum", default: 1, in: 0...1) == 1
    let segments = try options.number("segmentation", default: 1, in: 0...1) == 1
    let joins = try options.number("joining", default: 1, in: 0...1) == 1
    let bar = try device.bar(0)
    self.device = device
    self.model = model
    throttle = microseconds * 1000 / 256
    var offloads: NetworkPort.Offloads = checksums ? [.transmitChecksum, .receiveChecksum] : []
    // Not ECN: the controller takes FIN and PSH out of all segments but the last, and knows nothing of CWR (datasheet
    // 7.2.6), which it would repeat in each.
    if checksums, segments { offloads.formUnion([.transmitTCP4, .transmitTCP6]) }
    if checksums, joins { offloads.insert(.receiveTCP) }
    self.offloads = offloads
    outbound = device.networkQueues[0]
    inbound = device.networkQueues[1]
    adapter = try Adapter(bar: bar, vectors: min(device.interruptCount, 3))
    // The frame check sequence is the controller's business.
    let largest = model.largestFrame - 4
    let receive = try ReceivePath(
      buffers: min(Self.inboundBuffers, inbound.size), largest: largest, reportsChecksums: checksums,
      joinsSegments: joins, bar: bar, arena: &device.arena)
    let transmit = try TransmitPath(
      buffers: min(Self.outboundBuffers, outbound.size),
      capacity: checksums && segments ? NetworkClass.maximumSegmentedFrame : largest, largest: largest, bar: bar,
      arena: &device.arena)
    self.receive = .allocate(capacity: 1)
    self.receive.initialize(to: receive)
    self.transmit = .allocate(capacity: 1)
    self.transmit.initialize(to: transmit)
  }

  deinit {
    receive.deinitialize(count: 1)
    receive.deallocate()
    transmit.deinitialize(count: 1)
    transmit.deallocate()
  }

  // MARK: Start and stop

  public func start() throws(DriverFailure) -> NetworkPort {
    try adapter.reset(device)
    if try !adapter.checkNVM(device) { Log.warning("the NVM's checksum is wrong; its settings may be as well") }
    let address = try adapter.permanentAddress(device)
    let version = try adapter.readNVM(5, device)
    let phy = try adapter.startPHY(device)
    program()
    transmit.pointee.offerAll(outbound)
    Log.info(
      "\(model.name), \(address), NVM \(version >> 12).\(version >> 4 & 0xFF), "
        + "PHY 0x\(String(phy, radix: 16)), \(adapter.vectors) interrupt vectors")
    return NetworkPort(
      address: address, maximumMTU: UInt16(NetworkClass.maximumMTU), offloads: offloads, queuePairs: 1,
      model: model.name, firmware: "\(version >> 12).\(version >> 4 & 0xFF)")
  }

  /// Brings the controller from its reset to where the settings want it.
  func program() {
    armed = 0
    adapter.configure(throttle: throttle)
    receive.pointee.program()
    transmit.pointee.program(outbound)
    let isChecking = offloads.contains(.receiveChecksum)
    adapter.bar.write(
      AdapterRegister.receiveChecksum, isChecking ? ReceiveChecksum.ip | ReceiveChecksum.tcpUDP : 0)
    adapter.bar.write(
      AdapterRegister.transmitControl,
      TransmitControl.enable | TransmitControl.padShort | TransmitControl.collision
        | TransmitControl.multipleRequests)
    setFilter()
    adapter.enableLinkInterrupt()
  }

  public func stop() throws(DriverFailure) {
    adapter.shutDown()
    try adapter.reset(device)
    Log.info("controller shut down, \(counted[.resets]) resets, \(counted[.hangs]) hangs")
  }

  // MARK: Settings

  public func apply(_ new: NetworkSettings) throws(DriverFailure) -> Int32 {
    _ = try adapter.status()
    guard new.mtu <= UInt16(NetworkClass.maximumMTU),
      NetworkClass.maximumFrame(mtu: Int(new.mtu)) <= model.largestFrame - 4,
      new.address.isUsable
    else { return EINVAL }
    settings = new
    setFilter()
    return 0
  }

  /// Writes address, multicast table and receive control.
  ///
  /// Receiving stays enabled until the controller is reset, since real ones do not bear that RCTL.EN is cleared under traffic
  /// (Linux: FLAG2_NO_DISABLE_RX). A port that is down, or has no settings yet, takes no frames because nothing passes its
  /// filter.
  private func setFilter() {
    let open = settings.flatMap { $0.isEnabled ? $0 : nil }
    transmit.pointee.isOpen = open != nil
    adapter.setAddress(open?.address)
    adapter.setMulticast(open?.multicast ?? [])
    // The controller takes frames of any length, the driver those that the MTU permits.
    var control =
      ReceiveControl.enable | ReceiveControl.stripCRC | ReceiveControl.discardPause | ReceiveControl.longPackets
    if let open {
      receive.pointee.limit = NetworkClass.maximumFrame(mtu: Int(open.mtu))
      control |= ReceiveControl.broadcast
      if open.isPromiscuous { control |= ReceiveControl.unicastPromiscuous | ReceiveControl.multicastPromiscuous }
      if open.receivesAllMulticast { control |= ReceiveControl.multicastPromiscuous }
    }
    adapter.bar.write(AdapterRegister.receiveControl, control)
    receive.pointee.refill()
  }

  // MARK: Link

  public func link() throws(DriverFailure) -> NetworkLink {
    lastLink = try adapter.status().link
    return lastLink
  }

  /// Looks at the link, and tells the broker if it has changed.
  func checkLink() throws(DriverFailure) {
    let before = lastLink
    let now = try link()
    guard now != before else { return }
    Log.info(now.isUp ? "link up, \(now.speed) Mbit/s, \(now.isFullDuplex ? "full" : "half") duplex" : "link down")
    try device.reportLink(now)
  }

  public func statistics() throws(DriverFailure) -> NetworkStatistics {
    try adapter.addStatistics(to: &counted)
    counted[.droppedInbound] = receive.pointee.dropped
    counted[.implausibleInbound] = receive.pointee.implausible
    counted[.droppedOutbound] = transmit.pointee.dropped
    return counted
  }

  // MARK: Frames

  public func poll() throws(DriverFailure) -> Bool {
    let came = receive.pointee.poll(inbound)
    return transmit.pointee.reclaim(outbound) || came
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
    let wanted = transmit.pointee.wantsInterrupt ? Cause.queues : Cause.receiveQueue
    guard armed & wanted != wanted else { return }
    adapter.armQueueInterrupts(wanted)
    armed |= wanted
  }

  public func interrupt(_ vector: Int) throws(DriverFailure) {
    if vector == adapter.receiveVector { armed &= ~Cause.receiveQueue }
    if vector == adapter.transmitVector { armed &= ~Cause.transmitQueue }
    guard vector == adapter.otherVector else { return }
    let causes = try adapter.takeOtherCauses()
    adapter.enableLinkInterrupt()
    if causes & Cause.linkChange != 0 { try checkLink() }
    if causes & Cause.receiveOverrun != 0, receive.pointee.ring.isLost() { try resynchronize() }
  }
}
