import DriverRig
import Glibc
import Platform
import Protocol
import VFIO
import Virtqueue

@testable import DriverKit
@testable import E1000E
@testable import Emulation

/// The e1000e driver as it is, on the emulated NIC as it is, which runs on a thread of its own: both see the registers and
/// the bell as two processes do. The outlet is the test, and so is what is on the other end of the wire.
final class DriverBench {
  static let address = HardwareAddress(0x52, 0x54, 0, 0x12, 0x34, 0x56)

  let driver: E1000EDriver
  let interrupts: [Int32]
  let peer: Int32
  private(set) var port: NetworkPort?
  private let machine: EmulatedMachine
  private let outlet: NetworkOutlet
  private let bar: MappedMemory

  init(_ more: String = "", options: [String] = ["moderation-us=0"]) throws {
    let arena = FakeMemory(address: 0x1000_0000, length: 20 << 20)
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0 else {
      throw Failure("test", "socketpair", errno: errno)
    }
    peer = ends[1]
    var room = Int32(4 << 20)
    for end in ends { setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, 4) }
    machine = try EmulatedMachine(
      "e1000e,wire=test,mac=52:54:00:12:34:56\(more)", wire: ends[0],
      arena: ArenaMapping(iova: arena.address, file: -1, base: arena.pointer, size: UInt64(arena.length)))
    bar = try MappedMemory(file: machine.deviceFile, length: 0x20000)
    interrupts = machine.interrupts
    let grant = DeviceGrant(
      deviceClass: .network, vendor: 0x8086, device: 0x10D3, subsystemVendor: 0, subsystem: 0, revision: 0,
      interrupts: 3, queues: 2, queueSize: 256, arenaSize: UInt32(arena.length), payloadSize: 4096,
      payloadMapped: false, spinMicroseconds: 0, bars: [])
    let registers = Bar(
      windows: [Bar.Window(offset: 0, length: 0x20000, base: bar.base)], bell: machine.bell)
    outlet = try NetworkOutlet(
      driver: E1000EDriver.self, grant: grant, arena: arena, bars: [registers], interrupts: interrupts)
    driver = try E1000EDriver(device: outlet.device, options: Options(arguments: options))
  }

  deinit {
    machine.end()
    Descriptor.close(peer)
  }

  /// Starts the driver and gives it settings.
  @discardableResult
  func start(mtu: UInt16 = 1500) throws -> DriverBench {
    port = try driver.start()
    try apply(mtu: mtu)
    guard try until({ try self.driver.link().isUp }) else { throw Failure("test", "no link") }
    return self
  }

  func apply(mtu: UInt16 = 1500) throws {
    guard try driver.apply(NetworkSettings(sequence: 1, isEnabled: true, address: Self.address, mtu: mtu)) == 0 else {
      throw Failure("test", "settings")
    }
    round()
  }

  /// One round of the driver's loop.
  @discardableResult
  private func round() -> Bool {
    do {
      var worked = try driver.poll()
      if EventDescriptor.drain(interrupts[2]) > 0 { try driver.interrupt(2) }
      for queue in outlet.device.networkQueues where try driver.queueReady(queue) { worked = true }
      for queue in outlet.device.networkQueues { queue.flush() }
      return worked
    } catch {
      return false
    }
  }

  /// Runs the driver until something holds, five seconds at most.
  func until(_ condition: () throws -> Bool) throws -> Bool {
    let end = monotonicNow() + 5_000_000_000
    while monotonicNow() < end {
      if try condition() { return true }
      if !round() { usleep(50) }
    }
    return false
  }

  /// Gives the driver a frame for the wire.
  func give(_ bytes: [UInt8], header: [UInt8] = [UInt8](repeating: 0, count: 12)) throws {
    guard try outlet.give(bytes, header: header) else { throw Failure("test", "no outbound buffer") }
  }

  /// The next frame that the driver has for the outlet, with its header.
  func taken() throws -> NetworkOutlet.Frame? { try outlet.next() }

  /// Puts a frame on the wire, towards the NIC.
  func arrive(_ frame: [UInt8]) throws {
    guard send(peer, frame, frame.count, 0) == frame.count else { throw Failure("test", "send", errno: errno) }
  }

  /// The next frame on the wire.
  func sent() -> [UInt8]? {
    var room = [UInt8](repeating: 0, count: 0x11000)
    let length = recv(peer, &room, room.count, 0)
    return length > 0 ? Array(room[..<length]) : nil
  }
}

/// An emulated NIC on a thread of its own, with everything set for a driver.
private final class EmulatedMachine: @unchecked Sendable {
  let deviceFile: Int32
  let bell: Int32
  let interrupts: [Int32]
  private let backing: EmulatedE1000EBacking
  private let loop: EventLoop
  private let ending: Int32
  private var thread = pthread_t()

  init(_ text: String, wire: Int32, arena: ArenaMapping) throws {
    let loop = EventLoop()
    self.loop = loop
    backing = try EmulatedE1000EBacking(EmulationOptions(parsing: text), wire: Descriptor(owning: wire), loop: loop)
    deviceFile = backing.deviceFile
    bell = backing.bell!
    interrupts = try (0..<3).map { _ in try EventDescriptor.make().release() }
    ending = try EventDescriptor.make().release()
    try backing.mapArena(arena)
    try backing.wireInterrupts(.msix, eventfds: interrupts)
    try backing.setMemoryEnable(true)
    try backing.setBusMaster(true)
    loop.watch(ending) { _ in loop.stop() }
    pthread_create(
      &thread, nil,
      { context in
        let machine = Unmanaged<EmulatedMachine>.fromOpaque(context!).takeUnretainedValue()
        try? machine.loop.run()
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  func end() {
    EventDescriptor.signal(ending)
    pthread_join(thread, nil)
    backing.close()
    for file in interrupts + [ending] { Descriptor.close(file) }
  }
}
