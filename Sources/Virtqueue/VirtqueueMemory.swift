import CBulkhead

/// Raw access to one virtqueue in shared memory. Every load happens once; checking is the business of the two sides.
struct VirtqueueMemory {
  let base: UnsafeMutableRawPointer
  let layout: VirtqueueLayout
  let mask: UInt16

  init(base: UnsafeMutableRawPointer, layout: VirtqueueLayout) {
    precondition(UInt(bitPattern: base) % 16 == 0, "a virtqueue is aligned to 16 bytes")
    self.base = base
    self.layout = layout
    mask = UInt16(truncatingIfNeeded: layout.size - 1)
  }

  @inline(__always) func descriptor(_ index: Int) -> UnsafeMutableRawPointer {
    base + layout.descriptorOffset + index * 16
  }
  @inline(__always) var availFlags: UnsafeMutableRawPointer { base + layout.availOffset }
  @inline(__always) var availIndex: UnsafeMutableRawPointer { base + layout.availOffset + 2 }
  @inline(__always) func availEntry(_ index: UInt16) -> UnsafeMutableRawPointer {
    base + layout.availOffset + 4 + Int(index & mask) * 2
  }
  @inline(__always) var usedEvent: UnsafeMutableRawPointer { base + layout.usedEventOffset }
  @inline(__always) var usedFlags: UnsafeMutableRawPointer { base + layout.usedOffset }
  @inline(__always) var usedIndex: UnsafeMutableRawPointer { base + layout.usedOffset + 2 }
  @inline(__always) func usedEntry(_ index: UInt16) -> UnsafeMutableRawPointer {
    base + layout.usedOffset + 4 + Int(index & mask) * 8
  }
  @inline(__always) var availEvent: UnsafeMutableRawPointer { base + layout.availEventOffset }

  /// Whether the other side asked to be told of an entry between `old` and `new` (virtio 1.2 section 2.7.7.2,
  /// `vring_need_event`).
  @inline(__always)
  static func needsEvent(_ event: UInt16, new: UInt16, old: UInt16) -> Bool {
    new &- event &- 1 < new &- old
  }
}
