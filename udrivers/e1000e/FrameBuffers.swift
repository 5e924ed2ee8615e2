import DriverKit

/// Equal buffers in the arena, each with room for the virtio header right before its frame. Buffer b is descriptor b of
/// its virtqueue, for good.
struct FrameBuffers {
  /// Bytes before the frame; the frame begins on a cache line, the header ends there.
  static let headroom = 64

  /// Where frames begin, relative to their buffers.
  enum Placement {
    /// One after the other.
    case packed
    /// Each in pages of its own, so that a frame of up to 3072 bytes lies in one. Sixteen neighbours begin on sixteen cache
    /// lines: otherwise all headers would compete for the same few places of the cache.
    case paged
  }

  let memory: DMAMemory
  let stride: Int
  let count: Int
  /// Bytes of the largest frame, or piece of one.
  let capacity: Int
  private let colors: Int

  init(
    count: Int, capacity: Int, _ placement: Placement, arena: inout Arena, for purpose: String
  ) throws(DriverFailure) {
    switch placement {
    case .packed:
      colors = 1
      stride = (Self.headroom + capacity + 63) & ~63
    case .paged:
      colors = 16
      stride = roundedToPages(Self.headroom + (colors - 1) * 64 + capacity)
    }
    memory = try arena.allocate(count * stride, for: purpose)
    self.count = count
    self.capacity = capacity
  }

  @inline(__always) private func offset(_ buffer: Int) -> Int {
    buffer * stride + Self.headroom + (buffer & (colors - 1)) * 64
  }
  @inline(__always) func frame(_ buffer: Int) -> UnsafeMutableRawPointer { memory.pointer + offset(buffer) }
  @inline(__always) func frameAddress(_ buffer: Int) -> UInt64 { memory.address + UInt64(offset(buffer)) }
  @inline(__always) func headerAddress(_ buffer: Int) -> UInt64 {
    frameAddress(buffer) - UInt64(NetworkClass.headerSize)
  }
}
