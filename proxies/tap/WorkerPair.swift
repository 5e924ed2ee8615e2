import CBulkhead
import Glibc
import Platform
import Protocol
import Virtqueue

/// What the worker has done since it was made.
package struct WorkerCounters {
  package var framesOut: UInt64 = 0
  package var framesIn: UInt64 = 0
  package var bytesOut: UInt64 = 0
  package var bytesIn: UInt64 = 0
  /// Inbound frames that the kernel did not take.
  package var refused: UInt64 = 0
  /// Those of them that were no frames, or had a header that contradicts them.
  package var invalid: UInt64 = 0
  /// Outbound frames that did not fit into the driver's buffer.
  package var cut: UInt64 = 0
}

/// One pair of a driver's rings and one queue of the TAP, between which the broker itself carries frames.
///
/// The kernel copies between its buffers and the arena, straight from readv(2) and writev(2). It reads a header once, and
/// checks it against the frame (tun_get_user, virtio_net_hdr_to_skb): what a driver changes afterwards has no effect.
struct WorkerPair<Port: FramePort>: ~Copyable {
  /// Frames that are carried in one direction before it is the other one's turn.
  static var budget: Int { 64 }

  private let port: Port
  private var outbound: ChainSource
  private var inbound: ChainSource
  /// The kernel has no room for the frame that is held.
  private(set) var isFull = false

  init(port: Port, outbound: consuming ChainSource, inbound: consuming ChainSource) {
    self.port = port
    self.outbound = outbound
    self.inbound = inbound
  }

  /// Frames of the machine, for the wire.
  /// - Returns: whether there was any.
  /// - Throws: ``RingFault``.
  @inline(__always)
  mutating func carryOut(_ counters: inout WorkerCounters) throws(RingFault) -> Bool {
    var carried = 0
    defer { outbound.publish() }
    while carried < Self.budget, try outbound.take() {
      guard outbound.byteCount >= NetworkClass.headerSize + NetworkClass.minimumFrame else {
        throw .tooSmall(bytes: outbound.byteCount)
      }
      let got = port.receive(outbound.parts, count: outbound.partCount)
      // EAGAIN: there is none. Whatever else the kernel says, there is none either; the supervisor watches the interface.
      guard got >= 0 else { break }
      carried += 1
      // The kernel cuts what does not fit, and does not say so.
      guard got < outbound.byteCount, got >= NetworkClass.headerSize else {
        counters.cut &+= 1
        continue
      }
      counters.framesOut &+= 1
      counters.bytesOut &+= UInt64(got - NetworkClass.headerSize)
      outbound.giveBack(length: got)
    }
    return carried > 0
  }

  /// Frames from the wire, for the machine.
  /// - Returns: whether there was any.
  /// - Throws: ``RingFault``.
  @inline(__always)
  mutating func carryIn(_ counters: inout WorkerCounters) throws(RingFault) -> Bool {
    var carried = 0
    isFull = false
    defer { inbound.publish() }
    while carried < Self.budget, try inbound.take() {
      let length = inbound.byteCount
      guard length >= NetworkClass.headerSize + NetworkClass.minimumFrame,
        length <= NetworkClass.headerSize + NetworkClass.maximumSegmentedFrame
      else {
        refuse(&counters, isInvalid: true)
        carried += 1
        continue
      }
      let sent = port.send(inbound.parts, count: inbound.partCount)
      if sent == -Int(EAGAIN) {
        isFull = true
        break
      }
      carried += 1
      if sent < 0 {
        refuse(&counters, isInvalid: sent == -Int(EINVAL))
      } else {
        counters.framesIn &+= 1
        counters.bytesIn &+= UInt64(length - NetworkClass.headerSize)
        inbound.giveBack(length: 0)
      }
    }
    return carried > 0
  }

  @inline(__always)
  private mutating func refuse(_ counters: inout WorkerCounters, isInvalid: Bool) {
    counters.refused &+= 1
    if isInvalid { counters.invalid &+= 1 }
    inbound.giveBack(length: 0)
  }

  /// What to wait for at the TAP, in poll(2)'s words; nil if there is something to do already.
  mutating func arm() -> Int32? {
    var events: Int32 = 0
    // Without a buffer a frame is of no use; with one, further buffers are not.
    if outbound.isHolding {
      events |= POLLIN
      outbound.disableKicks()
    } else if outbound.enableKicks() {
      return nil
    }
    if isFull {
      events |= POLLOUT
      inbound.disableKicks()
    } else if inbound.enableKicks() {
      return nil
    }
    return events
  }

  func disarm() {
    outbound.disableKicks()
    inbound.disableKicks()
  }
}
