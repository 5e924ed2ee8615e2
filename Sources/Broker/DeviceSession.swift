import Platform
import Protocol
import VFIO
import Virtqueue

/// The device between drivers: what happens to it when one comes and when one goes, in an order that is the safety of the
/// machine.
///
///     come: memory made, arena mapped, interrupts wired, memory decoding on, bus master on
///     go:   bus master off, interrupts unwired, reset, arena unmapped, memory freed
///
/// At no moment can the device reach memory that belongs to nobody, or to the next driver.
final class DeviceSession {
  let backing: any DeviceBacking
  let configuration: BrokerConfiguration
  /// MSI-X, or MSI. INTx is level-triggered and would need an unmask by the broker for each interrupt.
  let interruptKind: InterruptKind
  let vectors: Int
  private let bars: [BarRange]
  let filter: ConfigFilter
  /// Between ``admit(queueLayout:)`` and ``cutOff()``: bus master is on, as far as we know.
  private var isAdmitted = false
  /// Whether the device has lost its configuration under the last driver: its power failed, or it was gone for a while.
  /// What it had in a volatile cache is lost then.
  private(set) var hasForgotten = false
  /// Resets that succeeded: the first before any driver, then one after each.
  private(set) var resets: UInt64 = 0

  /// Looks at the device and puts it at rest.
  /// - Throws: ``Failure`` `broker-interrupts`, `broker-bars`, `broker-isolation`, and any of the backing.
  init(_ backing: any DeviceBacking, _ configuration: BrokerConfiguration) throws(Failure) {
    self.backing = backing
    self.configuration = configuration
    (interruptKind, vectors) = try Self.chooseInterrupts(backing, wanted: Int(configuration.interrupts))
    bars = try Self.grantedRanges(backing, mask: configuration.bars)
    try backing.setBusMaster(false)
    try VirtioIsolation.check(backing)
    filter = try ConfigFilter { offset, width throws(Failure) in try backing.readConfig(offset: offset, width: width) }
    try reset()
  }

  private static func chooseInterrupts(
    _ backing: any DeviceBacking, wanted: Int
  ) throws(Failure) -> (InterruptKind, Int) {
    for kind in [InterruptKind.msix, .msi] {
      let count = try backing.interruptCount(kind)
      if count > 0 { return (kind, min(count, wanted)) }
    }
    throw Failure(
      "broker-interrupts", "choose interrupts of \(backing.address)",
      hint: "the device has neither MSI-X nor MSI; INTx is not supported")
  }

  private static func grantedRanges(_ backing: any DeviceBacking, mask: UInt8) throws(Failure) -> [BarRange] {
    let step = "grant BARs of \(backing.address)"
    let present = backing.regions.map(\.bar)
    var granted: [BarRange] = []
    // A manifest names what its driver may map of any device that it drives; devices differ in where their registers are.
    for bar in 0..<6 where mask & 1 << bar != 0 && present.contains(bar) {
      for range in try backing.mappableRanges(bar: bar) {
        granted.append(
          BarRange(bar: UInt8(bar), offset: range.offset, length: range.length, fileOffset: range.fileOffset))
      }
    }
    guard mask == 0 || !granted.isEmpty else {
      throw Failure("broker-bars", step, hint: "the device has none of the manifest's BARs, or none can be mapped")
    }
    guard granted.count <= BarRange.maximumCount else {
      throw Failure("broker-bars", "\(step): \(granted.count) ranges, at most \(BarRange.maximumCount)")
    }
    return granted
  }

  /// Gives the device to a driver.
  /// - Throws: any failure; the device is at rest then, and nothing stays mapped.
  func admit(queueLayout: SlottedQueueLayout) throws(Failure) -> DriverWorld {
    let world = try DriverWorld(configuration, queueLayout: queueLayout, vectors: vectors, bars: bars)
    try backing.mapArena(
      ArenaMapping(
        iova: AddressMap.arena, file: world.arena.file.number, base: world.arena.mapping.base,
        size: UInt64(world.arena.mapping.length)))
    do throws(Failure) {
      try backing.wireInterrupts(interruptKind, eventfds: world.interrupts.numbers)
      try backing.setMemoryEnable(true)
      try backing.setBusMaster(true)
      (isAdmitted, hasForgotten) = (true, false)
    } catch {
      try quiesce(world)
      throw error
    }
    return world
  }

  /// Ends the device's DMA at once. The rest of the way out waits until the driver's process is gone.
  func cutOff() {
    if isAdmitted {
      isAdmitted = false
      // Nobody but us turns bus mastering off; all ones is a device that is not there.
      let command = (try? backing.readConfig(offset: 0x04, width: .word)) ?? 0xFFFF
      hasForgotten = command & 0xFFFF == 0xFFFF || command & 1 << 2 == 0
      if hasForgotten { Log.warning("\(backing.address) has lost its configuration: power failed, or it was gone") }
    }
    do throws(Failure) { try backing.setBusMaster(false) } catch { Log.warning("cutting off the device: \(error)") }
  }

  /// Takes the device from a driver whose process is gone. The memory of `world` may be freed afterwards.
  /// - Throws: `-unmap` of the backing: the memory must not be freed, and the broker must leave so that the kernel takes all down;
  ///   `-reset` where the device could not be reset: the next broker tries again, before anybody gets the device.
  func quiesce(_ world: DriverWorld) throws(Failure) {
    cutOff()
    do throws(Failure) { try backing.disableInterrupts(interruptKind) } catch {
      Log.warning("unwiring interrupts: \(error)")
    }
    var failure: Failure?
    do throws(Failure) { try reset() } catch {
      Log.warning("\(error)")
      failure = error
    }
    try backing.unmapArena(iova: AddressMap.arena)
    withExtendedLifetime(world) {}
    // It may still have the queues of the driver that is gone, whose addresses are the next one's: nobody gets it as it is.
    // One that is not there has nothing.
    if let failure, isThere { throw failure }
  }

  /// All ones is what nobody answers.
  private var isThere: Bool {
    guard let vendor = try? backing.readConfig(offset: 0x00, width: .word) else { return false }
    return vendor & 0xFFFF != 0xFFFF
  }

  /// Without a reset of its own the device keeps the state that the last driver left; bus master off and the next
  /// driver's own reset have to do.
  private func reset() throws(Failure) {
    do throws(Failure) {
      try backing.reset()
      resets += 1
    } catch {
      guard error.says(.noReset) else { throw error }
      Log.warning("\(backing.address) has no reset method: relying on bus master off and on the driver's own reset")
    }
  }

  /// What a driver is told of the device.
  /// - Throws: any failure of the backing.
  func grant() throws(Failure) -> DeviceGrant {
    let ids = try backing.readConfig(offset: 0x00, width: .dword)
    let subsystem = try backing.readConfig(offset: 0x2C, width: .dword)
    let revision = try backing.readConfig(offset: 0x08, width: .byte)
    return DeviceGrant(
      deviceClass: configuration.deviceClass, vendor: UInt16(ids & 0xFFFF), device: UInt16(ids >> 16),
      subsystemVendor: UInt16(subsystem & 0xFFFF), subsystem: UInt16(subsystem >> 16),
      revision: UInt8(truncatingIfNeeded: revision), interrupts: UInt8(vectors), queues: configuration.queues,
      queueSize: configuration.queueSize, arenaSize: configuration.arenaSize, payloadSize: configuration.payloadSize,
      payloadMapped: configuration.mapsPayload, spinMicroseconds: configuration.spinMicroseconds, bars: bars,
      hasBell: backing.bell != nil)
  }
}
