import CBulkhead
import Glibc
import Logging
import PCI
import Platform
import Protocol

/// The broker and the driver of a device.
extension DeviceSession {
  /// A static Swift executable in an empty root asks for its runtime's path without this.
  private static let environment = ["SWIFT_ROOT=/"]

  func startBroker() throws(Failure) {
    brokerComplaint = nil
    brokerSentence = nil
    forgetCounters()
    brokerSince = WallClock.seconds()
    let configuration = try brokerConfiguration()
    defer { outlet?.brokerStarted() }
    let (pipe, writeEnd) = try LogPipe.make(loop: host.loop, emit: emit("broker"))
    let logEnd = Descriptor(owning: writeEnd)
    let (ours, theirs) = try PacketSocket.pair()
    let theirEnd = Descriptor(owning: theirs)
    let ourEnd = Descriptor(owning: ours)
    let place = try openGroup("broker")
    defer { if place >= 0 { Descriptor.close(place) } }
    let process = try ChildProcess(
      ChildProcess.Specification(
        executable: host.paths.executable(source.brokerName), arguments: [source.brokerName, "\(address)"],
        files: [-1, -1, logEnd.number, theirEnd.number], cgroup: place, diesWithUs: place < 0,
        environment: Self.environment),
      loop: host.loop
    ) { [weak self] end in self?.brokerProcessEnded(end) }
    log.debug("broker started: process \(process.pid)")
    let link = BrokerLink(process: process, log: pipe, socket: ourEnd.release(), loop: host.loop) {
      [weak self] envelope, files in self?.handle(envelope, files)
    }
    broker = link
    do throws(Failure) {
      try link.send(.configure(configuration), files: (outlet?.brokerFiles ?? []) + source.brokerFiles)
    } catch {
      // Its end is noticed by its pidfd; what it said before tells more than our errno.
      log.debug("the broker did not take its configuration: \(error)")
      process.kill()
    }
  }

  /// An open cgroup directory that the caller closes, or -1 where there are no control groups.
  private func openGroup(_ child: String) throws(Failure) -> Int32 {
    guard let groups = host.groups else { return -1 }
    return try groups.open("\(address)", child).release()
  }

  /// What a broker has counted ends with it.
  func forgetCounters() {
    counters = nil
    latencies = [:]
    brokerSince = nil
  }

  private func brokerProcessEnded(_ end: ProcessEnd) {
    broker?.receive()
    broker?.log.drain()
    broker = nil
    outlet?.brokerEnded()
    countersArrived(nil)
    var reason = "the broker is gone: \(end)"
    if let brokerComplaint { reason = "the broker gave up: \(brokerComplaint.oneLine)" }
    controller.brokerEnded(brokerSentence ?? reason)
  }

  /// Ends a broker that can be of no more use; another one follows as after any loss.
  func endBroker(because reason: String) {
    guard let broker else { return }
    brokerSentence = reason
    broker.process.kill()
  }

  func askBrokerToStop() {
    do throws(Failure) { try broker?.send(.shutdown) } catch { broker?.process.kill() }
  }

  func killBroker() { broker?.process.kill() }

  func startDriver(generation: UInt32) throws(Failure) {
    guard let installed = assignment?.driver, let broker else {
      throw Failure("driver-missing", "start a driver of \(address)")
    }
    driverComplaint = nil
    driverVersion = nil
    let executable = try FileText.open(installed.executablePath, "spawn")
    let (forBroker, forDriver) = try PacketSocket.pair()
    let brokerEnd = Descriptor(owning: forBroker)
    let driverEnd = Descriptor(owning: forDriver)
    let (pipe, writeEnd) = try LogPipe.make(loop: host.loop, emit: emit("driver"))
    let logEnd = Descriptor(owning: writeEnd)
    try broker.send(.attachDriver, generation: generation, files: [brokerEnd.number])
    let place = try openGroup("driver")
    defer { if place >= 0 { Descriptor.close(place) } }
    let process = try ChildProcess(
      ChildProcess.Specification(
        executable: host.paths.executable("bulkhead-jail"),
        arguments: JailCommand.arguments(
          installed.manifest.name, user: host.isPrivileged ? .of(ProcessUser.driver(of: address)) : .ours,
          options: controller.settings.options),
        files: JailCommand.files(log: logEnd.number, control: driverEnd.number, executable: executable.number),
        cgroup: place, newPIDNamespace: true, newUserNamespace: !host.isPrivileged,
        diesWithUs: place < 0, environment: Self.environment),
      loop: host.loop
    ) { [weak self] end in self?.driverProcessEnded(end) }
    driver = process
    driverLog = pipe
    log.debug("driver started: process \(process.pid), generation \(generation)")
  }

  private func driverProcessEnded(_ end: ProcessEnd) {
    // What the broker has to say of it comes first: it knows better.
    broker?.receive()
    driverLog?.drain()
    driverLog = nil
    driver = nil
    outlet?.driverEnded()
    var reason = "the driver is gone: \(end)"
    // The jail's own exit statuses (ConfinementStep); after exec they would be the driver's.
    if driverVersion == nil, !end.isKilled, end.status == ChildProcess.namespaceStatus {
      reason = "the driver's user namespace could not be set up"
    } else if driverVersion == nil, !end.isKilled, (64...79).contains(end.status) {
      reason = "the jail could not be put on (status \(end.status)): see its line in the log"
    }
    if let driverComplaint { reason = "the driver gave up: \(driverComplaint)" }
    controller.driverEnded(reason, byItself: end.status == 0 && !end.isKilled)
  }

  func askDriverToStop(generation: UInt32) {
    do throws(Failure) { try broker?.send(.stopDriver, generation: generation) } catch { driver?.kill() }
  }

  func killDriver() { driver?.kill() }

  func reportDriverGone(generation: UInt32) {
    do throws(Failure) { try broker?.send(.driverGone, generation: generation) } catch {
      log.debug("the broker was not told of the driver's end: \(error)")
    }
  }

  private func emit(_ part: String) -> (Logger.Level, String) -> Void {
    { [weak self] level, text in self?.log.log(level: level, "\(text)", metadata: ["process": "\(part)"]) }
  }

  private func brokerConfiguration() throws(Failure) -> BrokerConfiguration {
    guard let manifest = assignment?.driver?.manifest else {
      throw Failure("driver-missing", "configure a broker for \(address)")
    }
    let settings = controller.settings
    var configuration = BrokerConfiguration(
      address: "\(address)", group: 0, deviceClass: manifest.deviceClass,
      uid: ProcessUser.broker(of: address), bars: manifest.bars.reduce(0) { $0 | 1 << $1 },
      interrupts: UInt8(manifest.interrupts), queues: UInt8(Self.queues(settings, manifest)),
      queueSize: UInt16(settings.limits.queueSize ?? manifest.queueSize ?? DriverManifest.usualQueueSize),
      arenaSize: UInt32(settings.limits.arena ?? manifest.arenaSize), payloadSize: 0,
      mapsPayload: manifest.mapsPayload, readOnly: false, unitLimit: 1, kernelConnections: 0,
      heartbeatInterval: milliseconds(settings.heartbeat.interval),
      heartbeatTimeout: milliseconds(settings.heartbeat.timeout), startTimeout: milliseconds(settings.heartbeat.start),
      spinMicroseconds: UInt32((settings.limits.spin ?? manifest.deviceClass.defaultSpin) / 1000),
      interruptLimit: UInt32(settings.limits.interruptRate),
      isPrivileged: host.isPrivileged)
    try chooseOutlet().complete(&configuration)
    try source.complete(&configuration)
    return configuration
  }

  /// Virtqueues, or pairs of them for a network device: as many as the settings say, else one for each processor, at most
  /// 4; never more than the driver can serve.
  static func queues(_ settings: DeviceSettings, _ manifest: DriverManifest) -> Int {
    let most =
      manifest.deviceClass == .network
      ? min(manifest.queues / 2, NetworkOutletConfiguration.maximumPairs) : manifest.queues
    return min(most, settings.limits.queues ?? min(4, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
  }

  private func milliseconds(_ time: Nanoseconds) -> UInt32 { UInt32(clamping: max(1, time / 1_000_000)) }
}

extension Failure {
  /// Without the hint, for the middle of a sentence.
  var oneLine: String {
    var plain = self
    plain.hint = ""
    return plain.description
  }
}
