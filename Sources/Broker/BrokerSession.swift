import Glibc
import Platform
import Protocol
import VFIO

/// The life of a broker: commands of the supervisor, one driver after the other, and a proxy that outlives them.
///
/// What concerns a running driver is in `BrokerSession+Driver.swift` and `BrokerSession+Heartbeat.swift`.
///
/// If the supervisor hangs up, the broker goes on with its present driver, because the outlet is somebody's disk. When
/// that driver is lost the broker leaves: nobody could start another.
public final class BrokerSession: ProxyHost {
  let configuration: BrokerConfiguration
  let loop: EventLoop
  let link: SupervisorLink
  let device: DeviceSession
  let proxy: any Proxy
  /// The payload memfd, for drivers that map it; nil where the class has no payload.
  let payloadFile: Int32?
  let interrupts: (any InterruptCounts)?
  var storms: StormDetector
  var driver: DriverSession?
  private var ledger = ViolationLedger()
  private var ledgerTimer: EventLoop.Token?
  /// Set when ``leave(_:)`` was called: what the process exits with.
  public private(set) var exitStatus: Int32?

  /// Looks at the device, and puts it at rest.
  /// - Throws: ``Failure`` when the device lacks what the configuration grants.
  init(
    _ configuration: BrokerConfiguration, backing: any DeviceBacking, payloadFile: Int32?, proxy: any Proxy,
    link: SupervisorLink, loop: EventLoop, interrupts: (any InterruptCounts)?
  ) throws(Failure) {
    self.configuration = configuration
    self.loop = loop
    self.link = link
    self.proxy = proxy
    self.payloadFile = payloadFile
    self.interrupts = interrupts
    device = try DeviceSession(backing, configuration)
    storms = StormDetector(limit: configuration.interruptLimit, vectors: device.vectors)
    proxy.attach(to: self)
    backing.onAccessFault = { [weak self] in self?.violated(.dmaFault, $0) }
  }

  /// Tells the supervisor that a driver may come, and listens to it.
  func start() {
    link.watch { [unowned self] in self.receiveCommands() }
    // Called in each turn of the loop: what is held already need not be counted each time.
    loop.poll { [proxy] in proxy.poll() }
    link.send(.configured)
  }

  private func receiveCommands() {
    do throws(Failure) {
      while exitStatus == nil {
        switch try link.receive() {
        case .command(let command, let generation, let files): try handle(command, generation, files)
        case .nothing: return
        case .hungUp: return supervisorHungUp()
        }
      }
    } catch {
      fail(error)
    }
  }

  private func handle(_ command: BrokerCommand, _ generation: UInt32, _ files: [Int32]) throws(Failure) {
    if command == .attachDriver, files.count == 1, driver == nil {
      return try attachDriver(generation, socket: files[0])
    }
    files.forEach(Descriptor.close)
    switch command {
    case .configure, .attachDriver: Log.error("the supervisor said \(command.kind) where it has no meaning")
    case .driverGone: try driverGone(generation)
    case .stopDriver: stopDriver()
    case .report: report()
    case .networkSettings(let settings): proxy.supervisorSays(settings)
    case .shutdown: shutDown()
    }
  }

  // MARK: A driver comes, a driver goes

  private func attachDriver(_ generation: UInt32, socket: Int32) throws(Failure) {
    let world: DriverWorld
    do throws(Failure) { world = try device.admit(queueLayout: proxy.queueLayout) } catch {
      Descriptor.close(socket)
      throw error
    }
    let driver = DriverSession(
      generation: generation, socket: socket, world: world,
      heartbeatTimeout: Nanoseconds(configuration.heartbeatTimeout) * 1_000_000)
    self.driver = driver
    storms.restart()
    proxy.driverAttached()
    let (grant, files) = world.launchGrant(
      device: device.backing.deviceFile, payload: configuration.mapsPayload ? payloadFile : nil,
      bell: device.backing.bell)
    do throws(Failure) {
      try ControlChannel<JailMessage, DriverMessage>(socket: socket)
        .send(.launch(grant), generation: generation, files: files)
    } catch {
      Log.error("driver \(generation) cannot be given its files: \(error)")
      return lose(.hungUp)
    }
    driver.socketToken = loop.watch(socket) { [unowned self] _ in self.receiveFromDriver() }
    driver.timer = loop.after(Nanoseconds(configuration.startTimeout) * 1_000_000) { [unowned self] in
      Log.error("driver \(generation) was not ready within \(self.configuration.startTimeout) ms")
      self.lose(.startTimeout)
    }
    beginWatch(driver)
    Log.info("driver \(generation) attached: \(files.count) files, \(device.vectors) \(device.interruptKind) vectors")
  }

  /// The driver can no longer be used. Its DMA ends here and now; the supervisor is asked to kill the process.
  func lose(_ loss: DriverLoss) {
    guard let driver, !driver.isLost else { return }
    device.cutOff()
    driver.isLost = true
    ignore(driver)
    proxy.driverGone()
    Log.warning("driver \(driver.generation) is lost: \(loss)")
    tellViolations(all: true)
    link.send(.driverLost(loss), generation: driver.generation)
    if !link.isOpen { supervisorHungUp() }
  }

  private func driverGone(_ generation: UInt32) throws(Failure) {
    if let driver {
      guard driver.generation == generation else {
        return Log.error(
          "the supervisor says that driver \(generation) is gone, the present one is \(driver.generation)")
      }
      driver.isLost = true
      ignore(driver)
      proxy.driverGone()
      try device.quiesce(driver.world)
      if device.hasForgotten { proxy.deviceForgot() }
      self.driver = nil
      Log.info("driver \(generation) is gone, the device is at rest")
    }
    tellViolations(all: true)
    link.send(.quiesced, generation: generation)
  }

  /// Neither its socket nor its timers matter any more.
  private func ignore(_ driver: DriverSession) {
    for token in [driver.socketToken, driver.timer, driver.watchTimer] { if let token { loop.remove(token) } }
    driver.socketToken = nil
    driver.timer = nil
    driver.watchTimer = nil
  }

  // MARK: The end

  private func supervisorHungUp() {
    if let driver, !driver.isLost {
      Log.warning("the supervisor is gone; driver \(driver.generation) goes on being served")
    } else {
      Log.warning("the supervisor is gone and there is no driver: leaving")
      shutDown()
    }
  }

  private func shutDown() {
    proxy.shutdown()
    putAtRest()
    link.send(.down)
    leave(0)
  }

  /// The broker gives up with this complaint; the supervisor starts another one.
  func fail(_ failure: Failure) {
    Log.error("\(failure)")
    putAtRest()
    link.send(BrokerEvent(failure))
    leave(1)
  }

  private func putAtRest() {
    if let driver {
      device.cutOff()
      ignore(driver)
      proxy.driverGone()
    }
    device.backing.close()
    driver = nil
  }

  private func leave(_ status: Int32) {
    link.flush()
    exitStatus = status
    loop.stop()
  }

  // MARK: Counting

  private func report() {
    var counters = BrokerCounters()
    proxy.addCounters(to: &counters)
    counters.wakeups = loop.wakeups
    counters.interrupts = storms.total
    counters.resets = device.resets
    for histogram in proxy.latencies { link.send(.latency(histogram), generation: driver?.generation ?? 0) }
    link.send(.counters(counters), generation: driver?.generation ?? 0)
  }

  public func tellSupervisor(_ event: BrokerEvent, files: [Int32]) {
    link.send(event, generation: driver?.generation ?? 0, files: files)
  }

  public func tellDriver(_ message: BrokerMessage) -> Bool {
    guard let driver, !driver.isLost, driver.permits(message) else { return false }
    do throws(Failure) { try driver.send(message) } catch {
      // Its socket is full or closed; a missing answer to the heartbeat, or the hang-up, will tell.
      Log.debug("\(message.kind): \(error)")
      return false
    }
    return true
  }

  public func violated(_ violation: Violation, _ detail: String) {
    if let report = ledger.count(violation, detail, now: monotonicNow()) { return tell(report) }
    guard ledgerTimer == nil else { return }
    ledgerTimer = loop.after(ViolationLedger.interval) { [unowned self] in
      self.ledgerTimer = nil
      self.tellViolations(all: true)
    }
  }

  public func distrustDriver(_ violation: Violation, _ detail: String) {
    violated(violation, detail)
    lose(Self.lossByViolation)
  }

  /// The violation itself was told before.
  static let lossByViolation = DriverLoss.violation

  private func tellViolations(all: Bool) {
    for report in ledger.due(now: monotonicNow(), all: all) { tell(report) }
  }

  private func tell(_ report: ViolationLedger.Report) {
    Log.warning("violation \(report.violation.name), \(report.count) more: \(report.detail)")
    link.send(
      .violation(report.violation, count: report.count, detail: report.detail), generation: driver?.generation ?? 0)
  }
}

extension BrokerEvent {
  init(_ failure: Failure) {
    self = .failed(code: failure.code, step: failure.step, errno: failure.errno, hint: failure.hint)
  }
}
