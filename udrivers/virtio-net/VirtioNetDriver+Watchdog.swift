import DriverKit

/// A device that stops sending is notified again, and given up after a while: what is behind it may be busy, but not for
/// ever.
extension VirtioNetDriver {
  private static let tick: Nanoseconds = 1_000_000_000
  /// Ticks without a frame finished that count as a hang.
  static let ticksToHang = 2
  /// Ticks after which the driver gives up.
  static let ticksToFail = 20

  /// The watchdog runs only while frames are to be sent: an idle driver has no timer.
  @inline(never)
  func startWatching() {
    transmit.pointee.isWatched = true
    stalledTicks = 0
    lastFinished = transmit.pointee.ring.finished
    device.setTimer(Self.watchdog, after: Self.tick, every: Self.tick)
  }

  public func timer(_ index: Int) throws(DriverFailure) {
    // An interrupt may be lost; the link is looked at where that costs nothing.
    try checkLink()
    _ = try transmit.pointee.reclaim(outbound)
    let finished = transmit.pointee.ring.finished
    guard transmit.pointee.ring.outstanding > 0 else {
      device.cancelTimer(Self.watchdog)
      transmit.pointee.isWatched = false
      stalledTicks = 0
      return
    }
    // What cannot be sent without a link may wait for it.
    if finished != lastFinished || !lastLink.isUp {
      (lastFinished, stalledTicks) = (finished, 0)
      return
    }
    stalledTicks += 1
    guard stalledTicks >= Self.ticksToHang else { return }
    if stalledTicks == Self.ticksToHang {
      counted[.hangs] += 1
      Log.warning("the device sends nothing: \(transmit.pointee.ring.outstanding) frames wait; notifying it again")
    }
    guard stalledTicks < Self.ticksToFail else {
      throw DriverFailure(.timeout, "the device has sent nothing for \(stalledTicks) seconds")
    }
    transmit.pointee.ring.ringAgain()
  }
}
