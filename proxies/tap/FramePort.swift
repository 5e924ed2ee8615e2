import CBulkhead

/// Where frames come from and go to, each with its virtio header: a TAP's file, or what stands for it in a test.
package protocol FramePort {
  /// Takes one frame from the kernel. Its length in bytes, or -errno: EAGAIN when there is none.
  func receive(_ parts: UnsafePointer<bh_part>, count: Int) -> Int
  /// Gives one frame to the kernel. Its length in bytes, or -errno: EAGAIN when there is no room, EINVAL when header and
  /// frame contradict each other, EIO when the interface is down.
  func send(_ parts: UnsafePointer<bh_part>, count: Int) -> Int
}

/// A queue of a TAP by its file number, so that no reference is counted for a frame.
struct TAPFile: FramePort {
  let number: Int32

  @inline(__always)
  func receive(_ parts: UnsafePointer<bh_part>, count: Int) -> Int { bh_tap_receive(number, parts, count) }

  @inline(__always)
  func send(_ parts: UnsafePointer<bh_part>, count: Int) -> Int { bh_tap_send(number, parts, count) }
}
