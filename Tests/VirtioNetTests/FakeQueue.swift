import CBulkhead
import DriverKit
import DriverRig

/// The device's side of a split virtqueue, from virtio 1.2 section 2.7; offsets are spelled out as numbers.
final class FakeQueue {
  struct Buffer {
    var address: UInt64
    var length: Int
    var isWritable: Bool
  }

  let limit: Int
  var size: Int
  var vector: UInt16 = 0xFFFF
  var isEnabled = false
  var notifyOffset: UInt16
  var descriptors: UInt64 = 0
  var driver: UInt64 = 0
  var device: UInt64 = 0
  private var taken: UInt16 = 0
  private var used: UInt16 = 0
  /// Interrupts that the driver asked for.
  private(set) var calls = 0
  /// Notifications that came.
  var notifications = 0

  init(limit: Int, notifyOffset: UInt16) {
    self.limit = limit
    self.notifyOffset = notifyOffset
    size = limit
  }

  func reset() {
    (size, vector, isEnabled) = (limit, 0xFFFF, false)
    (descriptors, driver, device, taken, used) = (0, 0, 0, 0, 0)
  }

  /// The next chain that the driver made available.
  func take(_ fake: FakeDevice) -> (head: UInt16, chain: [Buffer])? {
    guard isEnabled, let avail = fake.at(driver, 6 + size * 2) else { return nil }
    guard bh_load16_acquire(avail + 2) != taken else { return nil }
    let head = bh_load16(avail + 4 + Int(taken) % size * 2)
    taken &+= 1
    // avail_event: tell me of the next one.
    if let place = fake.at(device, 6 + size * 8) { bh_store16(place + 4 + size * 8, taken) }
    var chain: [Buffer] = []
    var index = Int(head)
    repeat {
      guard index < size, let place = fake.at(descriptors + UInt64(index * 16), 16) else { return nil }
      let flags = bh_load16(place + 12)
      chain.append(
        Buffer(address: bh_load64(place), length: Int(bh_load32(place + 8)), isWritable: flags & 2 != 0))
      if flags & 1 == 0 { return (head, chain) }
      index = Int(bh_load16(place + 14))
    } while chain.count <= size
    return nil
  }

  /// How many the driver has made available that were not taken.
  func waiting(_ fake: FakeDevice) -> Int {
    guard isEnabled, let avail = fake.at(driver, 6 + size * 2) else { return 0 }
    return Int(bh_load16_acquire(avail + 2) &- taken)
  }

  /// Gives a chain back, and interrupts if the driver wants that.
  func give(_ id: UInt32, _ length: UInt32, _ fake: FakeDevice) {
    guard let ring = fake.at(device, 6 + size * 8), let avail = fake.at(driver, 6 + size * 2) else { return }
    bh_store32(ring + 4 + Int(used) % size * 8, id)
    bh_store32(ring + 8 + Int(used) % size * 8, length)
    let old = used
    used &+= 1
    bh_store16_release(ring + 2, used)
    bh_full_fence()
    let event = bh_load16(avail + 4 + size * 2)
    let isWanted = fake.has(29) ? used &- event &- 1 < used &- old : bh_load16(avail) & 1 == 0
    guard isWanted else { return }
    calls += 1
    fake.signal(vector)
  }

  /// Claims so many entries that are not there.
  func runAhead(_ distance: UInt16, _ fake: FakeDevice) {
    guard let ring = fake.at(device, 6 + size * 8) else { return }
    used &+= distance
    bh_store16_release(ring + 2, used)
  }
}
