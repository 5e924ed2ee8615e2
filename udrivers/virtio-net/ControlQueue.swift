import CBulkhead
import DriverKit

/// Commands to the device: virtio 1.2 section 5.1.6.5. One at a time, each waited for.
struct ControlQueue: ~Copyable {
  /// `class` and `command`.
  struct Command: Equatable, Sendable {
    var group: UInt8
    var number: UInt8

    /// VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_CTRL_RX_ALLMULTI: section 5.1.6.5.1.
    static let promiscuous = Command(group: 0, number: 0)
    static let allMulticast = Command(group: 0, number: 1)
    /// VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_CTRL_MAC_ADDR_SET: section 5.1.6.5.2.
    static let addressTable = Command(group: 1, number: 0)
    static let address = Command(group: 1, number: 1)
  }

  static let deadline: Nanoseconds = 5_000_000_000
  /// The answer, VIRTIO_NET_OK is 0; another value first, so that a device that writes nothing does not say yes.
  private static let unanswered: UInt8 = 0xFF

  private var queue: DeviceQueue
  private let memory: DMAMemory
  /// The largest command: two tables with all addresses.
  private static let capacity = 2 + 4 + 6 + 4 + 6 * NetworkSettings.multicastLimit

  init(_ index: Int, arena: inout Arena) throws(DriverFailure) {
    let queue = try DeviceQueue(index, limit: 4, arena: &arena, for: "control queue")
    memory = try arena.allocate(pageSize, for: "commands")
    self.queue = queue
  }

  mutating func program(_ transport: Transport, hasEventIndex: Bool) throws(DriverFailure) {
    try queue.program(transport, vector: nil, hasEventIndex: hasEventIndex)
    guard queue.size >= 2 else { throw DriverFailure(.unsupported, "the control queue has no room for a command") }
  }

  /// - Returns: whether the device did it.
  /// - Throws: ``FailureCode/timeout``, and as ``Transport/status()``.
  mutating func perform(
    _ command: Command, _ bytes: [UInt8], _ transport: Transport, _ device: Device
  ) throws(DriverFailure) -> Bool {
    let length = 2 + bytes.count
    precondition(length <= Self.capacity, "no command is so long")
    memory.pointer.storeBytes(of: command.group, as: UInt8.self)
    memory.pointer.storeBytes(of: command.number, toByteOffset: 1, as: UInt8.self)
    for index in bytes.indices { memory.pointer.storeBytes(of: bytes[index], toByteOffset: 2 + index, as: UInt8.self) }
    let answer = memory.pointer + Self.capacity
    answer.storeBytes(of: Self.unanswered, as: UInt8.self)
    queue.describe(0, address: memory.address, length: length, next: 1)
    queue.describe(1, address: memory.address + UInt64(Self.capacity), length: 1, isWritten: true)
    queue.post(0)
    queue.ringBell()
    var isDone = false
    // The closure must not take the queue along.
    let end = monotonicNow() + Self.deadline
    while !isDone {
      isDone = try queue.next() != nil
      if isDone { break }
      _ = try transport.status()
      guard monotonicNow() < end else {
        throw DriverFailure(.timeout, "the device does not answer command \(command.group).\(command.number)")
      }
      try device.sleep(20_000)
    }
    bh_dma_read_barrier()
    return answer.load(as: UInt8.self) == 0
  }

  /// The bytes of an address table: virtio 1.2 section 5.1.6.5.2.
  static func table(unicast: [HardwareAddress], multicast: [HardwareAddress]) -> [UInt8] {
    var bytes: [UInt8] = []
    for addresses in [unicast, multicast] {
      let count = UInt32(addresses.count)
      for index in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: count >> (8 * index))) }
      for address in addresses { bytes += Self.bytes(of: address) }
    }
    return bytes
  }

  static func bytes(of address: HardwareAddress) -> [UInt8] { (0..<6).map { address[$0] } }
}
