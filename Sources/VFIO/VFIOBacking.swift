import Platform

/// A device behind the kernel's VFIO with a type1v2 domain of its own.
public final class VFIOBacking: DeviceBacking {
  public let address: String
  public let container: VFIOContainer
  public let group: VFIOGroup
  public let device: VFIODevice
  /// What went wrong in ``close()``, which goes on regardless. For the log.
  public private(set) var closeFailures: [Failure] = []
  private var arenas: [UInt64] = []
  private var isClosed = false

  /// Opens the container, the group and the device.
  /// - Parameters:
  ///   - address: `0000:01:00.0`.
  ///   - groupNumber: the IOMMU group's number.
  ///   - directory: where the VFIO files are.
  /// - Throws: any `vfio-` failure; nothing stays open then.
  public convenience init(address: String, groupNumber: Int, directory: String = "/dev/vfio") throws(Failure) {
    let container = try VFIOContainer(path: "\(directory)/vfio")
    try self.init(
      address: address, container: container, group: VFIOGroup(number: groupNumber, directory: directory))
  }

  /// Takes a container and a group that are open, as handed over by the supervisor, and opens the device in them.
  /// - Throws: any `vfio-` failure; nothing stays open then.
  public init(address: String, container: VFIOContainer, group: VFIOGroup) throws(Failure) {
    do {
      try group.attach(to: container)
      try container.setIOMMU()
      device = try VFIODevice(owning: group.openDevice(address), address: address)
    } catch {
      group.close()
      container.close()
      throw error
    }
    self.address = address
    self.container = container
    self.group = group
  }

  deinit { close() }

  public var deviceFile: Int32 { device.file }
  public var regions: [DeviceRegion] { device.regions }

  public func mappableRanges(bar: Int) throws(Failure) -> [MappableRange] { try device.mappableRanges(bar: bar) }

  public func readConfig(offset: Int, width: ConfigWidth) throws(Failure) -> UInt32 {
    try device.readConfig(offset: offset, width: width)
  }

  public func writeConfig(offset: Int, width: ConfigWidth, value: UInt32) throws(Failure) {
    try device.writeConfig(offset: offset, width: width, value: value)
  }

  public func interruptCount(_ kind: InterruptKind) throws(Failure) -> Int { try device.interruptCount(kind) }

  public func wireInterrupts(_ kind: InterruptKind, eventfds: [Int32]) throws(Failure) {
    try device.wireInterrupts(kind, eventfds: eventfds)
  }

  public func setInterrupt(_ kind: InterruptKind, vector: Int, eventfd: Int32?) throws(Failure) {
    try device.setInterrupt(kind, vector: vector, eventfd: eventfd)
  }

  public func disableInterrupts(_ kind: InterruptKind) throws(Failure) { try device.disableInterrupts(kind) }

  public func mapArena(_ arena: ArenaMapping) throws(Failure) {
    try device.opened()
    try container.mapDMA(iova: arena.iova, address: arena.base, size: arena.size, access: arena.access)
    arenas.append(arena.iova)
  }

  public func unmapArena(iova: UInt64) throws(Failure) {
    try container.unmapDMA(iova: iova)
    arenas.removeAll { $0 == iova }
  }

  public func setBusMaster(_ enabled: Bool) throws(Failure) { try device.setBusMaster(enabled) }

  public func setMemoryEnable(_ enabled: Bool) throws(Failure) { try device.setMemoryEnable(enabled) }

  public func reset() throws(Failure) { try device.reset() }

  public func close() {
    guard !isClosed else { return }
    isClosed = true
    attempt { () throws(Failure) in try device.setBusMaster(false) }
    for kind in InterruptKind.allCases {
      attempt { () throws(Failure) in try device.disableInterrupts(kind) }
    }
    attempt { () throws(Failure) in try device.reset() }
    for iova in arenas {
      attempt { () throws(Failure) in try container.unmapDMA(iova: iova) }
    }
    arenas = []
    device.close()
    group.close()
    container.close()
  }

  private func attempt(_ step: () throws(Failure) -> Void) {
    do { try step() } catch { closeFailures.append(error) }
  }
}
