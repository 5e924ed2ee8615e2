import DriverKit

/// Equal buffers in the arena, each with room for the virtio header right before its frame. Buffer b is descriptor b of
/// its virtqueue, for good.
struct FrameBuffers {
  /// Bytes before the frame; the frame begins on a cache line, the header ends there.
  static let headroom = 64

  let memory: DMAMemory
  let stride: Int
  let count: Int
  /// Bytes of the largest frame, or piece of one.
  let capacity: Int

  init(count: Int, capacity: Int, arena: inout Arena, for purpose: String) throws(DriverFailure) {
    stride = (Self.headroom + capacity + 63) & ~63
    memory = try arena.allocate(count * stride, for: purpose)
    self.count = count
    self.capacity = capacity
  }

  @inline(__always) func frame(_ buffer: Int) -> UnsafeMutableRawPointer {
    memory.pointer + (buffer * stride + Self.headroom)
  }
  @inline(__always) func frameAddress(_ buffer: Int) -> UInt64 {
    memory.address + UInt64(buffer * stride + Self.headroom)
  }
  @inline(__always) func headerAddress(_ buffer: Int) -> UInt64 {
    frameAddress(buffer) - UInt64(NetworkClass.headerSize)
  }
}
