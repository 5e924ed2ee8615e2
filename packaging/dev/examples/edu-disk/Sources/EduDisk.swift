import DriverKit
import Glibc

/// QEMU's teaching device as a disk: its DMA engine moves sectors between the payload and 4 KiB of memory in the device.
/// Sections are those of QEMU's docs/specs/edu. One request is under way at a time; each takes the device 100 ms.
///
/// Payload is at a device address that needs 32 bits: QEMU's device takes 28 unless it is made with
/// `-device edu,dma_mask=0xffffffff`.
///
/// QEMU 7.2 ends when a transfer reaches the last byte of that memory, so its last sector is left out.
final class EduDisk: BlockDriver {
  static let name = "edu-disk"
  static let version = "1.0"

  private enum Registers {  // "MMIO area spec"
    static let identification = Register<UInt32>(0x00)
    static let liveness = Register<UInt32>(0x04)
    static let interruptStatus = Register<UInt32>(0x24)
    static let interruptAcknowledge = Register<UInt32>(0x64)
    static let source = Register<UInt64>(0x80)
    static let destination = Register<UInt64>(0x88)
    static let count = Register<UInt64>(0x90)
    static let command = Register<UInt64>(0x98)
  }
  /// Bits of ``Registers/command``.
  private enum Command {
    static let start: UInt64 = 1
    static let fromDevice: UInt64 = 2
    static let interrupt: UInt64 = 4
  }
  /// The cause of an interrupt after a transfer ("DMA controller").
  private static let transferred: UInt32 = 0x100
  private static let memory: UInt64 = 0x40000
  private static let sectors: UInt64 = 7
  private static let deadline: Nanoseconds = 2_000_000_000

  private let device: Device
  private let bar: Bar
  private var current: (request: BlockRequest, queue: BlockQueue)?

  init(device: Device, options: Options) throws(DriverFailure) {
    self.device = device
    bar = try device.bar(0)
    guard device.interruptCount > 0 else { throw DriverFailure(.resources, "an interrupt vector is needed") }
  }

  func start() throws(DriverFailure) -> [BlockUnit] {
    let identification = bar.read(Registers.identification)
    guard identification & 0xFF == 0xED else {
      throw DriverFailure(.unsupported, "this is no edu device", deviceStatus: identification)
    }
    bar.write(Registers.liveness, 0x1234_5678)
    guard bar.read(Registers.liveness) == ~0x1234_5678 else { throw DriverFailure(.deviceGone, "it does not answer") }
    try device.wait(step: "an idle DMA engine", deadline: Self.deadline) { () throws(DriverFailure) in
      self.bar.read(Registers.command) & Command.start == 0
    }
    bar.write(Registers.interruptAcknowledge, bar.read(Registers.interruptStatus))
    Log.info("edu device, \(Self.sectors) sectors")
    return [
      BlockUnit(
        index: 0, identifier: 1, blockSize: 512, blocks: Self.sectors,
        maximumTransfer: UInt32(Self.sectors) * 512, atomicWrite: 512, features: [], model: "QEMU edu", serial: "EDU",
        worldWideName: "")
    ]
  }

  func queueReady(_ queue: BlockQueue) throws(DriverFailure) -> Bool {
    var worked = false
    while current == nil, let request = try queue.next() {
      worked = true
      switch request.type {
      case .read, .write: submit(request, queue)
      // Every write that was answered is in the device.
      case .flush: queue.complete(request)
      case .discard, .writeZeroes: queue.complete(request, errno: EOPNOTSUPP)
      }
    }
    return worked
  }

  private func submit(_ request: BlockRequest, _ queue: BlockQueue) {
    guard request.unit == 0, request.sector <= Self.sectors, request.sectors <= Self.sectors - request.sector else {
      return queue.complete(request, errno: EINVAL)
    }
    // The payload's address is the device's own: nothing is copied on the way.
    let place = Self.memory + request.sector * 512
    let isRead = request.type == .read
    bar.write(Registers.source, isRead ? place : request.address)
    bar.write(Registers.destination, isRead ? request.address : place)
    bar.write(Registers.count, UInt64(request.length))
    bar.write(Registers.command, Command.start | Command.interrupt | (isRead ? Command.fromDevice : 0))
    current = (request, queue)
    device.setTimer(0, after: Self.deadline)
  }

  func interrupt(_ vector: Int) throws(DriverFailure) -> Bool {
    let status = bar.read(Registers.interruptStatus)
    guard status != .max else { throw DriverFailure(.deviceGone, "the status reads as all ones") }
    guard status & Self.transferred != 0 else { return false }
    bar.write(Registers.interruptAcknowledge, Self.transferred)
    guard let (request, queue) = current else { return true }
    current = nil
    device.cancelTimer(0)
    queue.complete(request)
    _ = try queueReady(queue)
    return true
  }

  func timer(_ index: Int) throws(DriverFailure) {
    if current != nil { throw DriverFailure(.timeout, "a transfer") }
  }
}
