import CBulkhead
import Control
import PCI
import Platform
import Protocol

/// The outlet of a block device: the kernel's block devices, and a socket for NBD clients.
final class BlockOutlet: DeviceOutlet {
  let deviceClass = DeviceClass.block
  var awaitsReport: Bool {
    get { false }
    set {}
  }

  private unowned let session: DeviceSession
  private let kernel: KernelBlockOutlet
  /// The listening socket for NBD clients, kept for the next broker.
  private var listener: Int32?
  private var units: [BlockUnit] = []
  /// Units whose addresses for NBD clients are in the log already.
  private var announced: Set<UInt16> = []

  init(of session: DeviceSession) {
    self.session = session
    kernel = KernelBlockOutlet(
      name: session.name, identifier: "bulkhead/\(session.address)", units: session.record.units)
  }

  deinit { if let listener { Descriptor.close(listener) } }

  private var host: Host { session.host }
  private var settings: DeviceSettings.Outlet { session.controller.settings.outlet }

  func claim() throws(Failure) -> [Refusal] {
    if settings.kernelOutlet == .required { try KernelBlockOutlet.require() }
    if settings.kernelOutlet == .ifPresent { _ = KernelModule.load("nbd") }
    return []
  }

  func open() throws(Failure) {
    guard settings.socket, listener == nil else { return }
    let error = FileText.makeDirectories(host.paths.outletSockets)
    guard error == 0 else { throw Failure("outlet-socket", "make \(host.paths.outletSockets)", errno: error) }
    let path = session.socketPath
    let socket: Int32
    if let kept = try keptListener(path) { socket = kept } else { socket = try listen(path) }
    listener = socket
    host.files.keep(socket, as: fileName)
    announced = []
  }

  private func listen(_ path: String) throws(Failure) -> Int32 {
    try checked(
      bh_unix_listen(path, host.socketMode, host.diskGroup), "outlet-socket", "listen on \(path)",
      // sizeof sun_path, less the zero (unix(7)).
      hint: path.utf8.count > 107 ? "a socket's path has at most 107 bytes: --runtime-dir chooses another" : "")
  }

  /// What systemd calls the socket; it keeps it, so that clients wait for the next supervisor instead of being refused.
  private var fileName: StoredFile { StoredFile(.nbd, of: session.address) }

  /// The socket of an earlier supervisor; nil where there is none, or not at that path.
  private func keptListener(_ path: String) throws(Failure) -> Int32? {
    guard let kept = host.files.take(.nbd, of: session.address).first?.file else { return nil }
    let socket = Descriptor(owning: kept)
    guard bh_unix_listens_at(kept, path) != 0 else {
      host.files.forget(fileName)
      session.log.info("the socket that systemd has kept is closed: it does not listen on \(path)")
      return nil
    }
    // Who may use it may have changed.
    try checked(bh_unix_permit(path, host.socketMode, host.diskGroup), "outlet-socket", "set the mode of \(path)")
    return socket.release()
  }

  func close() {
    for failure in kernel.disconnect() { session.report(failure) }
    session.record.units = []
    if !session.record.bindings.isEmpty { try? host.state.save(session.record) }
  }

  func remove() {
    close()
    units = []
    guard let file = listener else { return }
    Descriptor.close(file)
    listener = nil
    host.files.forget(fileName)
    FileText.remove(session.socketPath)
  }

  // MARK: Brokers

  func complete(_ configuration: inout BrokerConfiguration) throws(Failure) {
    let hasKernelOutlet = settings.kernelOutlet != .never && (try? KernelBlockOutlet.require()) != nil
    configuration.payloadSize = UInt32(session.controller.settings.limits.payload)
    configuration.readOnly = settings.readOnly
    configuration.unitLimit = settings.namespaces == .first ? 1 : UInt8(BlockUnit.maximumCount)
    configuration.kernelConnections = hasKernelOutlet ? UInt8(settings.connections) : 0
    configuration.hasListener = listener != nil
  }

  var brokerFiles: [Int32] { listener.map { [$0] } ?? [] }

  func brokerStarted() {}
  func brokerConfigured() {}
  func brokerEnded() {}
  func driverEnded() {}
  func quiesced() {}

  /// Says where NBD clients find the device.
  func announce() {
    guard listener != nil else { return }
    for unit in units where announced.insert(unit.index).inserted {
      session.log.info("\(NBDAddress(socket: session.socketPath, export: unit.index == 0 ? "" : unit.exportName))")
    }
  }

  func take(_ event: BrokerEvent, _ files: [Int32]) {
    guard case .unit(let unit, let flags) = event else { return }
    units.removeAll { $0.index == unit.index }
    units.append(unit)
    units.sort { $0.index < $1.index }
    if !files.isEmpty { connect(unit, flags, files, attempts: 20) }
  }

  /// The kernel may not have noticed yet that the last broker's sockets are dead; then it is asked again.
  private func connect(_ unit: BlockUnit, _ flags: UInt16, _ files: [Int32], attempts: Int) {
    do throws(Failure) {
      let (connected, isNew) = try kernel.connect(unit, flags: flags, sockets: files)
      session.record.units = kernel.units
      try host.state.save(session.record)
      let text =
        "/dev/nbd\(connected.nbd)\(connected.link.map { " (\($0))" } ?? "") \(isNew ? "connected" : "reconnected")"
      session.tell("unit", .notice, text)
    } catch {
      guard error.code == "nbd-reconfigure", attempts > 0 else { return session.report(error) }
      let copies = FileText.duplicates(of: files)
      host.loop.after(100_000_000) { [weak self] in
        self?.connect(unit, flags, copies, attempts: attempts - 1)
        for copy in copies { Descriptor.close(copy) }
      }
    }
  }

  // MARK: For people

  func uses() -> [String] { kernel.uses() }

  func description() -> Outlet? {
    guard !units.isEmpty || listener != nil else { return nil }
    return Outlet(
      socket: listener == nil ? nil : session.socketPath,
      units: units.map { unit in
        let connected = kernel.units.first { $0.index == Int(unit.index) }
        return Outlet.Unit(
          index: Int(unit.index), identifier: Int(unit.identifier), name: kernel.name(of: unit),
          export: unit.exportName, size: Int(unit.size), blockSize: Int(unit.blockSize),
          readOnly: unit.features.contains(.readOnly) || settings.readOnly, model: unit.model, serial: unit.serial,
          kernelDevice: connected.map { "/dev/nbd\($0.nbd)" }, link: connected?.link)
      })
  }
}
