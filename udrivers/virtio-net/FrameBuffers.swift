import DriverKit

/// Equal buffers in the arena, each with room for the virtio header right before its frame. Buffer b is descriptor b of
/// the outlet's virtqueue and of the device's, for good: a frame goes from one to the other where it is.
struct FrameBuffers {
  /// Bytes before the frame, which begins on a cache line.
  private static let headroom = 64

  private let memory: DMAMemory
  private let stride: Int
  /// Bytes of the largest frame.
  let capacity: Int

  init(count: Int, capacity: Int, arena: inout Arena, for purpose: String) throws(DriverFailure) {
    stride = (Self.headroom + capacity + 63) & ~63
    memory = try arena.allocate(count * stride, for: purpose)
    self.capacity = capacity
  }

  /// Bytes of header and largest frame.
  @inline(__always) var room: Int { NetworkClass.headerSize + capacity }

  @inline(__always) func frame(_ buffer: Int) -> UnsafeMutableRawPointer {
    memory.pointer + buffer * stride + Self.headroom
  }

  @inline(__always) func headerAddress(_ buffer: Int) -> UInt64 {
    memory.address + UInt64(buffer * stride + Self.headroom - NetworkClass.headerSize)
  }
}
