import Platform

@testable import Virtqueue

/// Both sides of one queue over the same plain memory, with raw access for a peer that does not keep to the rules.
final class QueuePair {
  let memory: UnsafeMutableRawPointer
  let layout: VirtqueueLayout
  var guest: VirtqueueGuest
  var device: VirtqueueDevice

  init(size: Int) {
    layout = VirtqueueLayout(size: size)
    memory = UnsafeMutableRawPointer.allocate(byteCount: layout.byteCount, alignment: 4096)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: layout.byteCount)
    guest = VirtqueueGuest(memory: memory, layout: layout)
    device = VirtqueueDevice(memory: memory, layout: layout)
  }

  deinit { memory.deallocate() }

  // #expect cannot take non-copyable values apart, so the calls that tests make are repeated here.
  func nextUsed() throws -> UsedElement? { try guest.nextUsed() }
  func nextAvailable() throws -> UInt16? { try device.nextAvailable() }
  func publishAvailable() -> Bool { guest.publish() }
  func publishUsed() -> Bool { device.publish() }
  func enableCalls() -> Bool { guest.enableCalls() }
  func enableKicks() -> Bool { device.enableKicks() }
  func copyChain(from head: UInt16, into chain: UnsafeMutableBufferPointer<VirtqueueDescriptor>) throws -> Int {
    try device.copyChain(from: head, into: chain)
  }
  var inFlight: Int { guest.outstanding }
  var taken: Int { device.outstanding }

  var usedIndex: UInt16 {
    get { memory.load(fromByteOffset: layout.usedOffset + 2, as: UInt16.self) }
    set { memory.storeBytes(of: newValue, toByteOffset: layout.usedOffset + 2, as: UInt16.self) }
  }

  var availIndex: UInt16 {
    get { memory.load(fromByteOffset: layout.availOffset + 2, as: UInt16.self) }
    set { memory.storeBytes(of: newValue, toByteOffset: layout.availOffset + 2, as: UInt16.self) }
  }

  func setUsed(_ position: Int, id: UInt32, length: UInt32) {
    memory.storeBytes(of: id, toByteOffset: layout.usedOffset + 4 + position * 8, as: UInt32.self)
    memory.storeBytes(of: length, toByteOffset: layout.usedOffset + 8 + position * 8, as: UInt32.self)
  }

  func setAvail(_ position: Int, head: UInt16) {
    memory.storeBytes(of: head, toByteOffset: layout.availOffset + 4 + position * 2, as: UInt16.self)
  }
}
