import CBulkhead
import Control
import Glibc
import Logging
import PCI
import Platform

/// The supervisor: takes the devices that the configuration names, and looks after them until it is told to stop.
public final class Daemon {
  /// Status of a process whose configuration is wrong (sysexits(3), EX_CONFIG).
  public static let configurationStatus: Int32 = 78
  /// Status of a process that left its devices to the next one (sysexits(3), EX_TEMPFAIL).
  public static let handOverStatus: Int32 = 75

  var loader: ConfigurationLoader
  let loop = EventLoop()
  let host: Host
  let log: Logger
  let notification = ServiceNotification()
  /// The socket of the service, where systemd listens on it.
  private let activated: Int32?
  var configuration = Configuration()
  var sessions: [PCIAddress: DeviceSession] = [:]
  var isStopping = false
  var monitors: [Int: ServiceCall] = [:]
  var nextMonitor = 0
  let version: String

  private var server: VarlinkServer?
  private var uevents: UeventFeed?
  private var kernelLog: KernelLog?
  private var faults = DMAFaultParser()
  private weak var lastFaulty: DeviceSession?
  private var lock: Descriptor?
  /// Whether the interfaces of the kernel that only devices of this machine need were opened.
  private var hasKernelInterfaces = false
  /// A device of the command line could not be started; there is nobody else to tell.
  var hasFailed = false
  /// Everything is left as it is, for the next supervisor.
  private var isHandingOver = false
  /// Whether the configuration is about to be read for a device that is not ours.
  var isLookingAgain = false
  /// Devices that an earlier supervisor has left, and that the kernel is getting back.
  var returning: Set<PCIAddress> = []
  /// Devices that are not given back yet, while we are stopping.
  var leaving = 0
  private enum Start { case underWay, waitingForTheKernel, told }
  private var start = Start.underWay
  /// How long whoever waits for our start waits for the kernel, which takes devices from its drivers meanwhile.
  private let startPatience: Nanoseconds = 20_000_000_000
  /// Devices that have come and were not looked at yet.
  var arrivals: Set<PCIAddress> = []

  public init(loader: ConfigurationLoader, paths: Paths, log: Logger, version: String) {
    self.loader = loader
    self.log = log
    self.version = version
    let inherited = SocketActivation.take()
    let activated = inherited.first { $0.name == "varlink" }?.number
    self.activated = activated
    host = Host(
      loop: loop, paths: paths, log: log,
      files: FileStore(
        notification: notification, inherited: inherited.filter { $0.number != activated },
        limit: FileStore.limitOfEnvironment, log: log))
    host.publish = { [weak self] in self?.publish($0) }
    host.heldMembers = { [weak self] in self?.heldMembers(of: $0) ?? [] }
    host.groupOwner = { [weak self] in self?.owner(of: $0, besides: $1) }
  }

  /// Runs until SIGTERM or SIGINT.
  /// - Returns: the process's exit status.
  public func run() -> Int32 {
    // Folders and links are for everybody to look at; what is not says so itself.
    umask(0o022)
    // A log that nobody reads any more is no reason to die.
    signal(SIGPIPE, SIG_IGN)
    do throws(Failure) {
      try makeFolders()
      try takeLock()
      let issues = IssueLog()
      configuration = loader.load(log: issues)
      let devices = try presentDevices(configuration, issues)
      let assignments = configuration.assignments(of: devices, log: issues)
      guard issues.isEmpty else {
        report(issues)
        return giveUp(Self.configurationStatus)
      }
      reportBrokenDrivers()
      if host.isPrivileged, configuration.needsHardware { stayInMemory() }
      try watchSignals()
      openControlGroups()
      openKernelInterfaces()
      recover(assignments)
      server = try VarlinkServer(
        path: host.paths.service, mode: host.socketMode, group: host.socketGroup,
        activated: activated, loop: loop
      ) { [weak self] in
        guard let self else { return }
        ServiceDispatch(version: self.version, handler: self).take($0, $1)
      }
      adopt(assignments, devices)
      watchStart()
      startWatchdog()
      start = .waitingForTheKernel
      tellIfReady()
      loop.after(startPatience) { [weak self] in self?.tellIfReady(waiting: false) }
      try loop.run()
      server?.close()
      if isHandingOver { return Self.handOverStatus }
      host.groups?.removeBase()
      return hasFailed ? 1 : 0
    } catch {
      log.critical("\(error)")
      return giveUp(1)
    }
  }

  /// Ends without having served. Clients that wait, for one of which systemd may have started us, see their connections
  /// closed, and not a moment before the process has ended: by then the next one may be started.
  private func giveUp(_ status: Int32) -> Int32 {
    if server == nil, let activated { _ = SocketActivation.acceptWaiting(on: activated) }
    return status
  }

  func makeFolders() throws(Failure) {
    for path in [host.paths.runtime, host.paths.state] {
      let error = FileText.makeDirectories(path, mode: host.isPrivileged ? 0o755 : 0o700)
      guard error == 0 else {
        throw Failure("runtime-folder", "make \(path)", errno: error, hint: "choose another with --runtime-dir")
      }
    }
    // Below /tmp somebody else may have made it first.
    guard host.isPrivileged || FileText.isOwn(host.paths.runtime) else {
      throw Failure(
        "runtime-folder", "use \(host.paths.runtime): it belongs to somebody else",
        hint: "choose another with --runtime-dir")
    }
  }

  /// The devices of this machine, where the configuration wants one. Where it has mistakes, they are what will be told.
  /// - Throws: `pci-scan`, `not-root`.
  func presentDevices(_ configuration: Configuration, _ issues: IssueLog) throws(Failure) -> [PCIDevice] {
    guard configuration.needsHardware else { return [] }
    guard issues.isEmpty else { return (try? host.bus.devices()) ?? [] }
    guard host.isPrivileged || configuration.entries.isEmpty else {
      throw Failure(
        "not-root", "take devices of this machine without being root",
        hint: "run bulkheadd as root; emulated devices need no root: bulkheadd --emulated nvme,file=disk.img,size=64M")
    }
    return try host.bus.devices()
  }

  func takeLock() throws(Failure) {
    let file = open(host.paths.lock, lockFlags, 0o600)
    guard file >= 0 else { throw Failure("lock", "open \(host.paths.lock)", errno: errno) }
    let held = Descriptor(owning: file)
    try checked(
      bh_lock_file(held.number), "lock", "lock \(host.paths.lock)",
      hint: "is another bulkheadd running? stop it, or use another --runtime-dir")
    lock = consume held
  }

  func report(_ issues: IssueLog) {
    for issue in issues.issues { log.error("\(issue)") }
    let count = issues.issues.count
    log.error("\(count) error\(count == 1 ? "" : "s") in the configuration; no device was touched")
  }

  /// What restarts the driver of a disk must not wait for that disk: for a page of its own that is swapped out to it, or for
  /// dirty pages that are written to it before there is memory for a new process.
  private func stayInMemory() {
    do throws(Failure) {
      try checked(bh_lock_memory(), "memory", "lock memory")
      try checked(bh_set_io_flusher(), "memory", "become safe under memory reclaim")
    } catch { log.warning("\(error); do not swap to a disk that bulkheadd serves") }
  }

  /// Manifests of which no driver is to be had. No device needs one of them: that would be a mistake of the configuration.
  func reportBrokenDrivers() {
    for driver in configuration.brokenDrivers {
      for issue in driver.issues {
        log.warning("the driver \"\(driver.name)\" cannot be used: \(issue.location): \(issue.message)")
      }
    }
  }

  func openControlGroups() {
    guard host.groups == nil else { return }
    guard host.isPrivileged else {
      return log.info("not root: user namespaces jail the drivers; no limits of memory and processor")
    }
    do throws(Failure) {
      host.groups = try ControlGroups(runtime: host.paths.runtime, given: host.paths.controlGroup)
    } catch {
      log.warning("drivers run without limits of memory and processor: \(error)")
    }
  }

  /// What the daemon can do without, with less; emulated devices do without it altogether.
  func openKernelInterfaces() {
    guard configuration.needsHardware, host.isPrivileged, !hasKernelInterfaces else { return }
    hasKernelInterfaces = true
    do throws(Failure) {
      uevents = try UeventFeed(loop: loop) { [weak self] in self?.take($0) }
    } catch { log.warning("devices that are plugged in later are not noticed: \(error)") }
    do throws(Failure) {
      kernelLog = try KernelLog(loop: loop) { [weak self] in self?.take(kernelMessage: $0) }
    } catch { log.warning("DMA faults are not attributed: \(error)") }
  }

  private func watchSignals() throws(Failure) {
    let signals: [Int32] = [SIGTERM, SIGINT, SIGHUP, SIGUSR1]
    let file = try checked(
      bh_signal_file(signals, UInt32(signals.count)), "signals", "receive signals as a file")
    loop.watch(file) { [weak self] _ in
      let signal = bh_signal_next(file)
      guard let self, signal > 0 else { return }
      switch signal {
      case SIGHUP: self.reload()
      case SIGUSR1: self.handOver()
      default: self.stopAll()
      }
    }
  }

  /// SIGUSR1: leaves at once. Brokers and drivers serve on until the next supervisor, perhaps of a newer version, takes
  /// their outlets up.
  private func handOver() {
    guard !isStopping else { return }
    isHandingOver = true
    log.notice("leaving every device to the next bulkheadd")
    loop.stop()
  }

  /// Once each device is with vfio-pci, or will not be, what comes after us in the boot finds the interfaces; and what was
  /// left by an earlier supervisor is back with its driver.
  func tellIfReady(waiting: Bool = true) {
    guard start == .waitingForTheKernel, !isStopping else { return }
    let pending = sessions.values.filter(\.state.isWithKernel).map(\.address) + returning
    guard pending.isEmpty || !waiting else { return }
    if !pending.isEmpty {
      let names = pending.sorted().map(\.description).joined(separator: ", ")
      log.warning("started, although the kernel is still busy with \(names)")
    }
    start = .told
    notification.send("READY=1\nSTATUS=\(statusLine)")
  }

  private func startWatchdog() {
    guard let interval = ServiceNotification.watchdogInterval else { return }
    loop.after(interval, every: interval) { [notification] in notification.send("WATCHDOG=1") }
  }

  private func take(kernelMessage message: String?) {
    guard let message else { return log.warning("the kernel's log was overwritten before it was read") }
    if let address = UnplugNotice.device(in: message) {
      sessions[address]?.controller.disappeared("the kernel wants the device back")
      return
    }
    guard let fault = faults.take(message) else { return }
    if fault.requester == .previous {
      lastFaulty?.faulted(fault)
      return
    }
    // Only devices in our hands: a fault of another one is the kernel's business.
    guard let session = orderedSessions.first(where: { fault.concerns($0.address) && !$0.state.isFree }) else {
      lastFaulty = nil
      return
    }
    lastFaulty = session
    session.faulted(fault)
  }

  var orderedSessions: [DeviceSession] { sessions.values.sorted { $0.address < $1.address } }

  var statusLine: String {
    let running = sessions.values.filter { $0.state == .running }.count
    return "\(sessions.count) devices, \(running) running"
  }

  func publish(_ event: Service.Event) {
    for call in monitors.values { call.send(Service.EventReply(event: event)) }
    guard event.kind == "state", !isStopping else { return }
    if start == .told { notification.send("STATUS=\(statusLine)") } else { tellIfReady() }
  }

  private func heldMembers(of group: Int) -> Set<PCIAddress> {
    Set(sessions.values.filter { $0.source.iommuGroup == group && $0.isHeld }.map(\.address))
  }

  private func owner(of group: Int, besides address: PCIAddress) -> String? {
    orderedSessions.first { $0.address != address && $0.source.iommuGroup == group && !$0.state.isFree }
      .map { "\($0.address) (\($0.name))" }
  }
}

/// A lock file is made once and never emptied.
private let lockFlags = O_RDWR | O_CREAT | O_CLOEXEC
