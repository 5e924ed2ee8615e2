import CCounting
import DriverKit
import DriverRig
import Glibc

/// A virtio-net device in memory, written from virtio 1.2 and not from the driver. Its common structure is at 0x0000 of
/// BAR 4, its configuration at 0x2000, its notify registers at 0x3000, four bytes apart.
final class FakeDevice: FakeNetworkDevice {
  let memory: FakeMemory
  /// CSUM, GUEST_CSUM, MTU, MAC, HOST_TSO4, HOST_TSO6, HOST_ECN, STATUS, CTRL_VQ, CTRL_RX, CTRL_MAC_ADDR, EVENT_IDX,
  /// VERSION_1, ACCESS_PLATFORM, SPEED_DUPLEX; MRG_RXBUF and others that the driver must not take.
  var offered: UInt64 =
    [0, 1, 3, 5, 11, 12, 13, 15, 16, 17, 18, 22, 23, 28, 29, 32, 33, 34, 63].reduce(0) { $0 | 1 << UInt64($1) }
  private(set) var accepted: UInt64 = 0
  var status: UInt8 = 0
  var resets = 0
  var queues = [
    FakeQueue(limit: 256, notifyOffset: 0), FakeQueue(limit: 256, notifyOffset: 1),
    FakeQueue(limit: 64, notifyOffset: 2),
  ]
  private var selects: (device: UInt64, driver: UInt64, queue: Int) = (0, 0, 0)
  var configVector: UInt16 = 0xFFFF
  /// The first twenty bytes of the network device's configuration: address, status, pairs, MTU, speed, duplex.
  var configuration: [UInt8] =
    [0x52, 0x54, 0, 0, 0, 9] + [1, 0] + [1, 0] + [0x28, 0x23] + [0x10, 0x27, 0, 0] + [1, 0, 0, 0]
  var generation: UInt8 = 0
  var config = FakeDevice.configSpace()
  var vectors: [Int32] = []
  /// Frames that went out, with their headers.
  var wire: [(header: [UInt8], frame: [UInt8])] = []
  var commands: [[UInt8]] = []
  /// Addresses that are in no memory.
  var faults: [UInt64] = []
  var isCounting = false

  // Misbehaviour.
  var isGone = false
  var resetNeverEnds = false
  var refusesFeatures = false
  var changesForEver = false
  /// Sends nothing.
  var isStuck = false
  var commandAnswer: UInt8? = 0
  /// Changes what the device says of a frame that came: id and length.
  var forge: (UInt32, UInt32) -> (UInt32, UInt32) = { ($0, $1) }
  var vectorLimit: UInt16 = 3

  init(memory: FakeMemory) { self.memory = memory }

  func has(_ bit: UInt64) -> Bool { accepted >> bit & 1 == 1 }

  func at(_ address: UInt64, _ length: Int) -> UnsafeMutableRawPointer? {
    if length <= memory.length, let place = memory.find(address, length) { return place }
    faults.append(address)
    return nil
  }

  func signal(_ vector: UInt16) { if Int(vector) < vectors.count { EventDescriptor.signal(vectors[Int(vector)]) } }

  /// The link goes up or down: section 5.1.4, and an interrupt for the configuration.
  func setLink(_ isUp: Bool) {
    configuration[6] = isUp ? 1 : 0
    generation &+= 1
    signal(configVector)
  }

  // MARK: Config space

  /// Capabilities of section 4.1.4 at 0x40 and behind; the second common structure must be ignored.
  static func configSpace() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 256)
    func put(_ offset: Int, _ values: [UInt8]) { bytes.replaceSubrange(offset..<offset + values.count, with: values) }
    func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> ($0 * 8) & 0xFF) } }
    put(0x00, [0xF4, 0x1A, 0x41, 0x10])
    put(0x06, [0x10])
    put(0x34, [0x40])
    put(0x40, [0x11, 0x4C])
    put(0x4C, [0x09, 0x60, 16, 1, 4, 0, 0, 0] + word(0) + word(0x1000))
    put(0x60, [0x09, 0x74, 16, 3, 4, 0, 0, 0] + word(0x1000) + word(0x1000))
    put(0x74, [0x09, 0x84, 16, 4, 4, 0, 0, 0] + word(0x2000) + word(0x1000))
    put(0x84, [0x09, 0xA0, 20, 2, 4, 0, 0, 0] + word(0x3000) + word(0x1000) + word(4))
    put(0xA0, [0x09, 0xB4, 20, 5, 0, 0, 0, 0] + word(0) + word(0))
    put(0xB4, [0x09, 0x00, 16, 1, 0, 0, 0, 0] + word(0x800) + word(0x1000))
    return bytes
  }

  func readConfig(_ offset: UInt16, _ width: UInt8) -> UInt32 {
    (0..<Int(width)).reduce(0) { $0 | UInt32(config[Int(offset) + $1]) << UInt32(8 * $1) }
  }

  // MARK: Registers

  func bar() -> Bar {
    let context = Unmanaged.passUnretained(self).toOpaque()
    return Bar(
      windows: [Bar.Window(offset: 0, length: 0x4000, base: nil)],
      mediator: BarMediator(
        context: context,
        read: { context, offset, width in
          let fake = Unmanaged<FakeDevice>.fromOpaque(context!).takeUnretainedValue()
          return fake.uncounted { fake.isGone ? .max : fake.read(offset, width) }
        },
        write: { context, offset, width, value in
          let fake = Unmanaged<FakeDevice>.fromOpaque(context!).takeUnretainedValue()
          fake.uncounted { if !fake.isGone { fake.write(offset, width, value) } }
        }))
  }

  private func uncounted<Value>(_ body: () -> Value) -> Value {
    if isCounting { counting_pause() }
    defer { if isCounting { counting_resume() } }
    return body()
  }

  private var selected: FakeQueue? { queues.indices.contains(selects.queue) ? queues[selects.queue] : nil }

  /// The fields with their widths: section 4.1.4.3. Another width is an error of the driver.
  private func read(_ offset: Int, _ width: Int) -> UInt64 {
    if changesForEver { generation &+= 1 }
    switch (offset, width) {
    case (0x04, 4): return selects.device < 2 ? offered >> (32 * selects.device) & 0xFFFF_FFFF : 0
    case (0x10, 2): return UInt64(configVector)
    case (0x12, 2): return UInt64(queues.count)
    case (0x14, 1): return UInt64(status)
    case (0x15, 1): return UInt64(generation)
    case (0x18, 2): return UInt64(selected?.size ?? 0)
    case (0x1A, 2): return UInt64(selected?.vector ?? 0xFFFF)
    case (0x1E, 2): return UInt64(selected?.notifyOffset ?? 0)
    case (0x2000..<0x2014, 1), (0x2000..<0x2014, 2), (0x2000..<0x2014, 4):
      return (0..<width).reduce(0) { $0 | UInt64(configuration[offset - 0x2000 + $1]) << UInt64(8 * $1) }
    default: preconditionFailure("a read of \(width) bytes at \(offset)")
    }
  }

  private func write(_ offset: Int, _ width: Int, _ value: UInt64) {
    switch (offset, width) {
    case (0x00, 4): selects.device = value
    case (0x08, 4): selects.driver = value
    case (0x0C, 4):
      let shift = 32 * selects.driver
      accepted = accepted & ~(0xFFFF_FFFF << shift) | value << shift
    case (0x10, 2): configVector = allowed(UInt16(value))
    case (0x14, 1): setStatus(UInt8(value))
    case (0x16, 2): selects.queue = Int(value)
    case (0x18, 2): selected?.size = Int(value)
    case (0x1A, 2): selected?.vector = allowed(UInt16(value))
    case (0x1C, 2): selected?.isEnabled = value == 1
    case (0x20, 4): selected?.descriptors = value
    case (0x28, 4): selected?.driver = value
    case (0x30, 4): selected?.device = value
    case (0x24, 4), (0x2C, 4), (0x34, 4): precondition(value == 0, "the arena is below 4 GiB")
    case (0x3000..<0x4000, 2): notified(offset - 0x3000, Int(value))
    default: preconditionFailure("a write of \(width) bytes at \(offset)")
    }
  }

  private func allowed(_ vector: UInt16) -> UInt16 { vector < vectorLimit ? vector : 0xFFFF }

  private func setStatus(_ value: UInt8) {
    guard value != 0 else {
      resets += 1
      (accepted, configVector) = (0, 0xFFFF)
      for queue in queues { queue.reset() }
      status = resetNeverEnds ? status | 1 : 0
      return
    }
    precondition(value & status == status & ~0x40, "bits of the status are only set")
    status = refusesFeatures ? value & ~8 : value
  }

  private func notified(_ place: Int, _ queue: Int) {
    precondition(place == queue * 4 && status & 4 != 0, "queue \(queue) has another register")
    queues[queue].notifications += 1
    if queue == 1 { transmit() }
    if queue == 2 { command() }
  }

  // MARK: Work

  /// Sends what the driver has made available.
  func transmit() {
    while !isStuck, let (head, chain) = queues[1].take(self) {
      var bytes: [UInt8] = []
      for piece in chain {
        precondition(!piece.isWritable, "a frame to be sent is read")
        guard let place = at(piece.address, piece.length) else { return }
        bytes += UnsafeRawBufferPointer(start: place, count: piece.length)
      }
      wire.append((Array(bytes[..<12]), Array(bytes[12...])))
      let (id, length) = forge(UInt32(head), 0)
      queues[1].give(id, length, self)
    }
  }

  private func command() {
    guard let answer = commandAnswer, let (head, chain) = queues[2].take(self) else { return }
    precondition(chain.count == 2 && !chain[0].isWritable && chain[1].isWritable && chain[1].length == 1)
    guard let place = at(chain[0].address, chain[0].length), let status = at(chain[1].address, 1) else { return }
    commands.append(Array(UnsafeRawBufferPointer(start: place, count: chain[0].length)))
    status.storeBytes(of: answer, as: UInt8.self)
    queues[2].give(UInt32(head), 1, self)
  }

  /// A frame came from the wire.
  /// - Returns: false where there is no buffer.
  @discardableResult
  func receive(_ frame: [UInt8], header: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]) -> Bool {
    guard let (head, chain) = queues[0].take(self) else { return false }
    let bytes = header + frame
    precondition(chain.count == 1 && chain[0].isWritable && bytes.count <= chain[0].length)
    guard let place = at(chain[0].address, chain[0].length) else { return false }
    bytes.withUnsafeBytes { _ = memcpy(place, $0.baseAddress!, $0.count) }
    let (id, length) = forge(UInt32(head), UInt32(bytes.count))
    queues[0].give(id, length, self)
    return true
  }
}
