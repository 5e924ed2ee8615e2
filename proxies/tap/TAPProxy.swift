import Broker
import Jail
import Platform
import Protocol
import TAP
import Virtqueue

/// The network class: frames between a driver's virtqueues and a TAP interface, carried by the kernel's vhost-net or by
/// the broker itself.
///
/// The interface belongs to the supervisor and outlives drivers and brokers. It has carrier while a driver serves whose
/// port has a link, and what the driver's port can finish (checksums, segments) the kernel leaves to it.
public final class TAPProxy: Proxy {
  /// Counts that one driver may owe; the supervisor asks again.
  private static let countLimit = 4
  private var ticks: UInt32 = 0

  public let queueLayout: SlottedQueueLayout
  private let loop: EventLoop
  private let tap: TAPInterface
  private let pairs: Int
  private let vhost: VhostDatapath?
  private let worker: TAPWorker<TAPFile>
  private let vhostFiles: [Int32]
  private weak var host: (any ProxyHost)?
  private var state = PortState()
  private var isServing = false
  /// Settings that the driver did not take.
  private var owesSettings = false
  private var hasCarrier = false
  private var linkReports = LinkReports()
  /// Set while a change of the link waits to be told.
  private var linkTimer: EventLoop.Token?
  /// What the kernel was told last to leave to the driver; nil: by no driver of this broker yet.
  private var offloads: TAPOffloads?
  /// Frames of the worker that were no frames, as far as they were told.
  private var toldInvalid: UInt64 = 0

  /// - Throws: `broker-outlet` when the files are not those of the configuration; any `tap-` or `vhost-` failure.
  public init(_ context: ProxyContext) throws(Failure) {
    guard let network = context.configuration.network, context.outlet.count == network.fileCount else {
      throw Failure("broker-outlet", "serve an interface with \(context.outlet.count) files")
    }
    loop = context.loop
    pairs = Int(network.queuePairs)
    queueLayout = SlottedQueueLayout(queueSize: Int(context.configuration.queueSize), slots: 0, slotSize: 0)
    var queues: [TAPQueue] = []
    for file in context.outlet.prefix(pairs) { queues.append(try TAPQueue(adopting: Descriptor(owning: file))) }
    tap = try TAPInterface(adopting: queues)
    vhostFiles = Array(context.outlet.dropFirst(pairs))
    vhost =
      network.usesVhost
      ? try VhostDatapath(files: vhostFiles, loop: context.loop, busyPoll: network.busyPollMicroseconds) : nil
    // An emulated device lives on the same loop, and gets nothing done while this one looks on.
    let isEmulated = !context.configuration.emulation.isEmpty
    worker = TAPWorker(
      loop: context.loop, pairs: pairs,
      spin: isEmulated ? 0 : Nanoseconds(context.configuration.spinMicroseconds) * 1000)
    // What an earlier broker left on.
    try tap.setCarrier(false)
  }

  public func attach(to host: any ProxyHost) { self.host = host }

  /// Its links change at any time.
  public var hearsDriverAtOnce: Bool { true }

  public var rules: [SeccompRule] { OutletRules.of(taps: tap.queues.map(\.file), vhosts: vhostFiles) }

  // MARK: Drivers

  public func driverAttached() {
    state.begin()
    vhost?.forget()
  }

  public func driverSays(_ message: DriverMessage) throws(ProxyRefusal) {
    switch message {
    case .networkPort(let port):
      try state.announce(port, pairs: pairs)
      host?.tellSupervisor(.networkPort(port), files: [])
    case .networkLink(let link):
      guard link != state.link else { return }
      state.linkChanged(link)
      followLink()
      tellLink()
    case .networkApplied(let sequence, let errno):
      let number = try state.answered(sequence)
      host?.tellSupervisor(.networkApplied(sequence: number, errno: errno), files: [])
    case .networkStatistics(let statistics):
      try state.counted()
      host?.tellSupervisor(.networkStatistics(statistics), files: [])
    default: throw ProxyRefusal(.illegalTransition, "\(message.kind) from a driver of the network class")
    }
  }

  public func driverReady() throws(ProxyRefusal) {
    try state.complete()
    tellSettings()
  }

  public func driverServes(_ queues: DriverQueues) throws(Failure) {
    guard let port = state.port else { return }
    let features = VirtioNetFeatures(rawValue: port.features)
    let used = Int(port.queuePairs)
    try setOffloads(TAPOffloads(features))
    if pairs > 1 { try tap.useQueues(used) }
    let files = tap.queues.prefix(used).map(\.file)
    if let vhost {
      try vhost.start(queues, features: features, taps: files) { [unowned self] violation, detail in
        self.host?.distrustDriver(violation, detail)
      }
    } else {
      worker.start(queues, ports: files.map { (TAPFile(number: $0), $0) }) { [unowned self] in self.interfaceGone() }
    }
    isServing = true
    Log.info("\(tap.name): \(port.model), \(used) queue pairs, \(vhost == nil ? "carried here" : "vhost-net")")
    followLink()
  }

  /// Each such request also takes back what `ethtool -K` has switched off (set_offload in drivers/net/tun.c): so it is made
  /// only where something changes.
  private func setOffloads(_ wanted: TAPOffloads) throws(Failure) {
    guard wanted != offloads else { return }
    try tap.setOffloads(wanted)
    offloads = wanted
  }

  public func driverStopping() { endService() }

  public func driverGone() {
    endService()
    state.linkChanged(.down)
    if let linkTimer { loop.remove(linkTimer) }
    linkTimer = nil
    if let link = linkReports.end(now: monotonicNow()) { host?.tellSupervisor(.networkLink(link), files: []) }
  }

  public func shutdown() { endService() }

  private func endService() {
    isServing = false
    vhost?.stop()
    worker.stop()
    followLink()
  }

  /// Carrier is on while there is a way to the wire.
  private func followLink() {
    let isOn = isServing && state.link.isUp
    guard isOn != hasCarrier else { return }
    do throws(Failure) {
      try tap.setCarrier(isOn)
      hasCarrier = isOn
    } catch { Log.warning("\(error)") }
  }

  private func tellLink() {
    guard linkTimer == nil else { return }
    switch linkReports.step(state.link, now: monotonicNow()) {
    case .nothing: break
    case .tell(let link): host?.tellSupervisor(.networkLink(link), files: [])
    case .wait(let time):
      linkTimer = loop.after(time) { [unowned self] in
        self.linkTimer = nil
        self.tellLink()
      }
    }
  }

  /// Somebody has deleted it. A supervisor that is there gives up this broker too, and begins anew; without one, the broker
  /// waits for the end of its driver.
  private func interfaceGone() {
    Log.error("\(tap.name) was deleted: nothing is carried any more")
    isServing = false
    hasCarrier = false
  }

  // MARK: Settings and counts

  public func supervisorSays(_ settings: NetworkSettings) {
    state.wanted = settings
    tellSettings()
  }

  /// A driver that is not yet so far hears them when it is ready.
  private func tellSettings() {
    guard let host, let settings = state.nextSettings else { return }
    owesSettings = !host.tellDriver(.networkSettings(settings))
    if !owesSettings { state.wasTold(settings) }
  }

  /// Heartbeats between two counts: counters of 32 bits, such as a NIC's, are read before they are full, if nobody else asks.
  private static let countInterval: UInt32 = 256

  public func tick() {
    ticks &+= 1
    if ticks % Self.countInterval == 0 { askForCounts() }
    if owesSettings, isServing { tellSettings() }
    if isServing, let detail = vhost?.stuck() { host?.violated(.frameInvalid, detail) }
  }

  public func addCounters(to counters: inout BrokerCounters) {
    let own = worker.counters
    counters.framesOut += own.framesOut
    counters.framesIn += own.framesIn
    counters.bytesOut += own.bytesOut
    counters.bytesIn += own.bytesIn
    counters.framesRefused += own.refused
    counters.framesTaken = UInt64(vhost?.taken ?? 0)
    askForCounts()
  }

  private func askForCounts() {
    if state.countsAsked < Self.countLimit, host?.tellDriver(.networkCount) == true { state.wasAsked() }
  }

  // MARK: Work

  public func poll() -> Bool {
    let mayHaveMore = worker.poll()
    if worker.counters.invalid != toldInvalid { complainOfFrames() }
    guard worker.fault == nil else { return complainOfRing() }
    return mayHaveMore
  }

  @inline(never)
  private func complainOfFrames() {
    let count = worker.counters.invalid &- toldInvalid
    toldInvalid = worker.counters.invalid
    host?.violated(.frameInvalid, "\(count) inbound frames that are none, or with a header that contradicts them")
  }

  @inline(never)
  private func complainOfRing() -> Bool {
    // Said once: the driver is lost with it, and the worker stopped.
    guard isServing, let (fault, pair) = worker.fault else { return false }
    isServing = false
    host?.distrustDriver(fault.violation, "\(fault.detail), in queue pair \(pair)")
    return true
  }
}
