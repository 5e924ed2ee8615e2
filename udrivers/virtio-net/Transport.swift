import DriverKit

/// The device itself over PCI: virtio 1.2 section 4.1. Nothing here is on the path of a frame.
struct Transport {
  /// The specification has no limits for waiting; what emulates a device may be busy for a while.
  static let resetDeadline: Nanoseconds = 5_000_000_000
  /// Reads of the configuration that may be torn by changes in a row.
  private static let configurationAttempts = 100

  private let common: StructureRegisters
  private let notify: Structure
  private let structures: [StructureKind: Structure]
  private let device: Device

  init(_ structures: [StructureKind: Structure], _ device: Device) throws(DriverFailure) {
    common = try StructureRegisters(structures[.common], .common, length: CommonRegister.length, device)
    self.structures = structures
    guard let notify = structures[.notify] else {
      throw DriverFailure(.unsupported, "there is no capability of a notify structure")
    }
    self.notify = notify
    self.device = device
  }

  // MARK: Status, virtio 1.2 section 2.1

  /// - Throws: ``FailureCode/deviceGone`` when it reads as all ones; ``FailureCode/deviceError`` when the device wants a
  ///   reset, which the next driver gives it.
  func status() throws(DriverFailure) -> DeviceStatus {
    let status = try rawStatus()
    guard !status.contains(.needsReset) else {
      throw DriverFailure(.deviceError, "the device needs a reset", deviceStatus: UInt32(status.rawValue))
    }
    return status
  }

  private func rawStatus() throws(DriverFailure) -> DeviceStatus {
    let status = DeviceStatus(rawValue: common.read8(CommonRegister.status))
    guard !status.isGone else { throw DriverFailure(.deviceGone, "the device's status reads as all ones") }
    return status
  }

  func add(_ status: DeviceStatus) throws(DriverFailure) {
    common.write8(CommonRegister.status, try self.status().union(status).rawValue)
  }

  /// Stops all DMA, and puts the device into the state after power-up.
  func reset() throws(DriverFailure) {
    _ = try rawStatus()
    common.write8(CommonRegister.status, 0)
    try device.wait(step: "reset (device status 0)", deadline: Self.resetDeadline) { () throws(DriverFailure) in
      try rawStatus().rawValue == 0
    }
  }

  // MARK: Features, section 3.1.1

  func offeredFeatures() -> Features {
    var bits: UInt64 = 0
    for half in 0..<2 as Range<UInt32> {
      common.write32(CommonRegister.deviceFeatureSelect, half)
      bits |= UInt64(common.read32(CommonRegister.deviceFeature)) << (32 * half)
    }
    return Features(rawValue: bits)
  }

  /// - Throws: ``FailureCode/unsupported`` when the device does not agree.
  func accept(_ features: Features) throws(DriverFailure) {
    for half in 0..<2 as Range<UInt32> {
      common.write32(CommonRegister.driverFeatureSelect, half)
      common.write32(CommonRegister.driverFeature, UInt32(truncatingIfNeeded: features.rawValue >> (32 * half)))
    }
    try add(.featuresOK)
    guard try status().contains(.featuresOK) else {
      throw DriverFailure(
        .unsupported, "the device does not accept the features 0x\(String(features.rawValue, radix: 16))")
    }
  }

  // MARK: Queues and vectors, sections 4.1.5.1.2 and 4.1.5.1.3

  var queueCount: Int { Int(common.read16(CommonRegister.queueCount)) }

  /// - Throws: ``FailureCode/resources`` when the device has no such vector.
  func setConfigurationVector(_ vector: Int) throws(DriverFailure) {
    common.write16(CommonRegister.configVector, UInt16(vector))
    guard common.read16(CommonRegister.configVector) == UInt16(vector) else {
      throw DriverFailure(.resources, "the device has no vector \(vector) for its configuration")
    }
  }

  /// The most descriptors of a queue.
  /// - Throws: ``FailureCode/unsupported`` where it does not exist, or has a size that no split queue has.
  func queueSize(_ queue: Int) throws(DriverFailure) -> Int {
    common.write16(CommonRegister.queueSelect, UInt16(queue))
    let size = Int(common.read16(CommonRegister.queueSize))
    guard size.nonzeroBitCount == 1, size <= 32768 else {
      throw DriverFailure(.unsupported, "queue \(queue) has \(size) descriptors")
    }
    return size
  }

  /// Tells the device where a queue is, and switches it on.
  /// - Parameter vector: nil for none.
  /// - Returns: the register that the device is notified with.
  func enable(_ queue: Int, _ memory: QueueMemory, vector: Int?) throws(DriverFailure) -> NotifyRegister {
    common.write16(CommonRegister.queueSelect, UInt16(queue))
    common.write16(CommonRegister.queueSize, UInt16(memory.layout.size))
    let vector = vector.map(UInt16.init) ?? CommonRegister.noVector
    common.write16(CommonRegister.queueVector, vector)
    guard common.read16(CommonRegister.queueVector) == vector else {
      throw DriverFailure(.resources, "the device has no vector \(vector) for queue \(queue)")
    }
    common.write64(CommonRegister.queueDescriptors, memory.address + UInt64(memory.layout.descriptorOffset))
    common.write64(CommonRegister.queueDriver, memory.address + UInt64(memory.layout.availOffset))
    common.write64(CommonRegister.queueDevice, memory.address + UInt64(memory.layout.usedOffset))
    let register = try NotifyRegister(
      notify, queue: queue, offset: Int(common.read16(CommonRegister.queueNotifyOffset)), device)
    common.write16(CommonRegister.queueEnable, 1)
    return register
  }

  // MARK: The network device's configuration, section 5.1.4

  /// The first `length` bytes of it; how many there are depends on the features.
  /// - Throws: ``FailureCode/unsupported`` where the device has fewer.
  private func configuration(_ length: Int) throws(DriverFailure) -> StructureRegisters {
    try StructureRegisters(structures[.device], .device, length: length, device)
  }

  /// Reads fields as they are at one moment: section 4.1.4.3.2.
  private func consistent<Value>(_ read: () -> Value) throws(DriverFailure) -> Value {
    for _ in 0..<Self.configurationAttempts {
      let before = common.read8(CommonRegister.generation)
      let value = read()
      if common.read8(CommonRegister.generation) == before { return value }
    }
    throw DriverFailure(.deviceError, "the device's configuration changes without end")
  }

  func address() throws(DriverFailure) -> HardwareAddress {
    let fields = try configuration(NetworkRegister.address + 6)
    return try consistent {
      HardwareAddress(bits: (0..<6).reduce(0) { $0 << 8 | UInt64(fields.read8(NetworkRegister.address + $1)) })
    }
  }

  func mtu() throws(DriverFailure) -> Int {
    let fields = try configuration(NetworkRegister.mtu + 2)
    return Int(try consistent { fields.read16(NetworkRegister.mtu) })
  }

  /// - Throws: as ``status()``.
  func link(_ features: Features) throws(DriverFailure) -> NetworkLink {
    _ = try status()
    if features.contains(.status) {
      let fields = try configuration(NetworkRegister.status + 2)
      let status = try consistent { fields.read16(NetworkRegister.status) }
      guard status & NetworkRegister.linkUp != 0 else { return .down }
    }
    guard features.contains(.speed) else { return NetworkLink(isUp: true, speed: 0, isFullDuplex: true) }
    let fields = try configuration(NetworkRegister.duplex + 1)
    let (speed, duplex) = try consistent {
      (fields.read32(NetworkRegister.speed), fields.read8(NetworkRegister.duplex))
    }
    // What is larger than a speed can be means that nobody knows; so does a duplex that is neither 0 nor 1.
    return NetworkLink(
      isUp: true, speed: speed > NetworkRegister.fastest ? 0 : speed,
      isFullDuplex: duplex != NetworkRegister.halfDuplex)
  }
}

/// Where the device is told of new entries in a queue: virtio 1.2 section 4.1.4.4.
struct NotifyRegister {
  private let bar: Bar
  private let register: Register<UInt16>
  private let queue: UInt16

  init(_ structure: Structure, queue: Int, offset: Int, _ device: Device) throws(DriverFailure) {
    bar = try device.bar(structure.bar)
    let place = offset * structure.multiplier
    guard place <= structure.length - 2, (structure.offset + place) % 2 == 0, bar.covers(structure.offset + place, 2)
    else {
      throw DriverFailure(.unsupported, "the notify register of queue \(queue) is outside of its structure")
    }
    register = Register(structure.offset + place)
    self.queue = UInt16(queue)
  }

  @inline(__always) func ring() { bar.write(register, queue) }
}
