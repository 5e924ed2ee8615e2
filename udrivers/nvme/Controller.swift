import DriverKit

/// The controller itself: reset, the admin queue, and the commands that go through it.
///
/// Nothing here is on the path of a request. Every wait has a deadline from the device and notices a device that is gone.
public final class Controller {
  /// Entries of each admin queue.
  private static let adminEntries = 32
  /// The longest that an admin command may take; the specification names no limit.
  private static let adminTimeout: Nanoseconds = 30_000_000_000
  /// Identifiers from here on belong to commands that nobody waits for.
  private static let firstUnattendedID: UInt16 = 0x8000

  public let device: Device
  public let bar: Bar
  public let capabilities: ControllerCapabilities
  /// Completions that belong to no command.
  public private(set) var unknownCompletions = 0

  private var admin: QueuePair
  private let page: DMAMemory
  private var lastID: UInt16 = 0
  private var awaited: UInt16?
  private var answer: CompletionEntry?
  private var unattended = 0

  /// Reads the capabilities and takes memory for the admin queue; the controller is not changed yet.
  /// - Throws: ``FailureCode/deviceGone``, ``FailureCode/unsupported``, ``FailureCode/resources``.
  public init(device: Device) throws(DriverFailure) {
    self.device = device
    bar = try device.bar(0)
    guard bar.covers(0, 0x1000) else {
      throw DriverFailure(.resources, "the controller's registers are outside the granted range of BAR 0")
    }
    capabilities = ControllerCapabilities(rawValue: bar.readHalves(ControllerRegister.capabilities))
    guard capabilities.rawValue != .max else {
      throw DriverFailure(.deviceGone, "the controller's capabilities read as all ones")
    }
    guard capabilities.supportsNVMCommandSet else {
      throw DriverFailure(.unsupported, "the controller does not have the NVM command set")
    }
    guard capabilities.minimumPageSize <= 4096 else {
      throw DriverFailure(.unsupported, "the controller's smallest page has \(capabilities.minimumPageSize) bytes")
    }
    admin = try QueuePair(
      id: 0, entries: Self.adminEntries, arena: &device.arena, bar: bar, doorbellStride: capabilities.doorbellStride)
    page = try device.arena.allocate(IdentifyData.size, for: "identify data")
  }

  /// VS: major in bits 31:16, minor in 15:8.
  public var version: UInt32 { bar.read(ControllerRegister.version) }

  /// CSTS.
  /// - Throws: ``FailureCode/deviceGone`` when it reads as all ones.
  public func status() throws(DriverFailure) -> ControllerStatus {
    let status = ControllerStatus(rawValue: bar.read(ControllerRegister.status))
    guard !status.isGone else { throw DriverFailure(.deviceGone, "the controller's status reads as all ones") }
    return status
  }

  // MARK: Reset, NVMe 2.0 section 3.5.1 and 3.7.2

  /// Disables the controller and waits until it says so: all queues are gone, no DMA is under way.
  public func disable() throws(DriverFailure) {
    let configuration = ControllerConfiguration(rawValue: bar.read(ControllerRegister.configuration))
    let before = try status()
    if configuration.isEnabled, !before.isReady, !before.isFatal {
      // EN must not be cleared while the controller is still on its way to ready (section 3.1.3.5).
      try device.wait(step: "controller enabled by somebody else", deadline: capabilities.timeout) {
        () throws(DriverFailure) in
        let status = try status()
        return status.isReady || status.isFatal
      }
    }
    bar.write(ControllerRegister.configuration, configuration.disabled.rawValue)
    try device.wait(step: "controller reset (CSTS.RDY = 0)", deadline: capabilities.timeout) {
      () throws(DriverFailure) in
      try !status().isReady
    }
  }

  /// Gives the disabled controller its admin queue and enables it.
  /// - Parameter completionAddress: of the admin completion queue, where that is not the queue's own memory; only an
  ///   attack has a reason to.
  public func enable(completionAddress: UInt64? = nil) throws(DriverFailure) {
    admin.reset()
    (awaited, answer, unattended) = (nil, nil, 0)
    let size = UInt32(Self.adminEntries - 1)
    bar.write(ControllerRegister.adminQueueAttributes, size << 16 | size)
    bar.writeHalves(ControllerRegister.adminSubmissionQueue, admin.submissionAddress)
    bar.writeHalves(ControllerRegister.adminCompletionQueue, completionAddress ?? admin.completionAddress)
    bar.write(ControllerRegister.configuration, ControllerConfiguration.nvmWith4KiBPages.rawValue)
    try device.wait(step: "controller start (CSTS.RDY = 1)", deadline: capabilities.timeout) {
      () throws(DriverFailure) in
      let status = try status()
      guard !status.isFatal else {
        throw DriverFailure(
          .deviceError, "the controller reports a fatal error while it starts", deviceStatus: status.rawValue)
      }
      return status.isReady
    }
  }

  /// Announces the shutdown and waits until the controller has written what it holds (section 3.6.1).
  /// - Parameter time: RTD3E, in nanoseconds; at least five seconds are given.
  public func shutDown(within time: Nanoseconds) throws(DriverFailure) {
    let configuration = ControllerConfiguration(rawValue: bar.read(ControllerRegister.configuration))
    bar.write(ControllerRegister.configuration, configuration.shuttingDown.rawValue)
    try device.wait(step: "controller shutdown (CSTS.SHST = 2)", deadline: max(time, 5_000_000_000)) {
      () throws(DriverFailure) in
      try status().isShutDown
    }
  }

  // MARK: Admin commands

  /// Runs one admin command to its end.
  /// - Returns: the successful completion.
  /// - Throws: ``FailureCode/deviceError`` with the status; ``FailureCode/timeout``; ``FailureCode/deviceGone``.
  @discardableResult
  public func execute(_ command: SubmissionEntry, _ step: String) throws(DriverFailure) -> CompletionEntry {
    lastID = (lastID &+ 1) & (Self.firstUnattendedID - 1)
    var command = command
    command.commandID = lastID
    (awaited, answer) = (lastID, nil)
    defer { awaited = nil }
    admin.push(command)
    admin.ring()
    try device.wait(step: step, deadline: Self.adminTimeout) { () throws(DriverFailure) in
      pollAdmin()
      if answer != nil { return true }
      guard try !status().isFatal else {
        throw DriverFailure(.deviceError, "\(step): the controller reports a fatal error")
      }
      return false
    }
    guard let answer else { throw DriverFailure(.timeout, step) }
    guard answer.status.isSuccess else {
      throw DriverFailure(
        .deviceError, "\(step): \(answer.status)", errno: UInt16(answer.status.errno),
        deviceStatus: UInt32(answer.status.rawValue))
    }
    return answer
  }

  /// Sends an admin command whose completion nobody waits for.
  /// - Returns: false where too many are under way.
  public func submitUnattended(_ command: SubmissionEntry) -> Bool {
    guard unattended < Self.adminEntries / 2 else { return false }
    lastID = (lastID &+ 1) & (Self.firstUnattendedID - 1)
    var command = command
    command.commandID = lastID | Self.firstUnattendedID
    unattended += 1
    admin.push(command)
    admin.ring()
    return true
  }

  /// Takes completions from the admin queue.
  /// - Returns: whether there were any.
  @discardableResult
  public func pollAdmin() -> Bool {
    var found = false
    while let completion = admin.pop() {
      found = true
      if completion.commandID == awaited {
        answer = completion
      } else if completion.commandID >= Self.firstUnattendedID, unattended > 0 {
        unattended -= 1
      } else {
        unknownCompletions += 1
      }
    }
    admin.acknowledge()
    return found
  }

  // MARK: What the controller is and has

  public func identify() throws(DriverFailure) -> ControllerIdentity {
    try execute(.identify(.controller, to: page.address), "identify controller")
    return ControllerIdentity(pageBytes)
  }

  public func identify(namespace: UInt32) throws(DriverFailure) -> NamespaceIdentity {
    try execute(.identify(.namespace, namespace: namespace, to: page.address), "identify namespace \(namespace)")
    return NamespaceIdentity(pageBytes)
  }

  /// Identifiers of the active namespaces, at most `limit`, ascending. The list came with NVMe 1.1.
  public func activeNamespaces(of identity: ControllerIdentity, limit: Int) throws(DriverFailure) -> [UInt32] {
    guard version >= 0x0001_0100 else { return Array((1...max(1, identity.namespaces)).prefix(limit)) }
    try execute(.identify(.activeNamespaces, to: page.address), "identify active namespaces")
    let list = IdentifyData(pageBytes)
    return (0..<IdentifyData.size / 4).lazy.map { list.get($0 * 4, UInt32.self) }.prefix { $0 != 0 }.prefix(limit)
      .map { $0 }
  }

  private var pageBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: page.pointer, count: page.length)
  }
}
