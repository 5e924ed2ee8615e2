import DriverKit

/// A device that stops sending is notified again, and given up after a while: what is behind it may be busy, but not for
/// ever.
extension VirtioNetDriver {
  /// Looks without a frame finished that count as a hang.
  static let looksToHang = 2
  /// Looks after which the driver gives up.
  static let looksToFail = 20

  /// The watchdog runs only while frames are to be sent: an idle driver has no timer.
  @inline(never)
  func startWatching() {
    transmit.pointee.watch.begin(finished: transmit.pointee.ring.finished)
    device.setTimer(Self.watchdog, after: TransmitWatch.interval, every: TransmitWatch.interval)
  }

  public func timer(_ index: Int) throws(DriverFailure) {
    // An interrupt may be lost; the link is looked at where that costs nothing.
    try checkLink()
    _ = try transmit.pointee.reclaim(outbound)
    let pending = transmit.pointee.ring.outstanding
    switch transmit.pointee.watch.look(finished: transmit.pointee.ring.finished, pending: pending) {
    case .idle: device.cancelTimer(Self.watchdog)
    case .moving: break
    // What cannot be sent without a link may wait for it.
    case .stalled where !lastLink.isUp: transmit.pointee.watch.forgive()
    case .stalled(let looks): try urge(looks, pending)
    }
  }

  private func urge(_ looks: Int, _ pending: Int) throws(DriverFailure) {
    guard looks >= Self.looksToHang else { return }
    if looks == Self.looksToHang {
      counted[.hangs] += 1
      Log.warning("the device sends nothing: \(pending) frames wait; notifying it again")
    }
    guard looks < Self.looksToFail else {
      throw DriverFailure(.timeout, "the device has sent nothing for \(looks) seconds")
    }
    transmit.pointee.ring.ringAgain()
  }
}
