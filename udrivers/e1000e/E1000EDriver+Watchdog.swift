import DriverKit

/// A controller that stops sending is reset; one that stops again and again is given up.
extension E1000EDriver {
  /// Looks without a frame finished that count as a hang.
  static let looksToHang = 2
  /// Resets without a frame in between after which the driver gives up.
  static let maximumHangs = 3

  /// The watchdog runs only while frames are to be sent: an idle driver has no timer.
  @inline(never)
  func startWatching() {
    transmit.pointee.watch.begin(finished: transmit.pointee.ring.finished)
    device.setTimer(Self.watchdog, after: TransmitWatch.interval, every: TransmitWatch.interval)
  }

  public func timer(_ index: Int) throws(DriverFailure) {
    let status = try adapter.status()
    // An interrupt may be lost; the link is looked at where that costs nothing.
    try checkLink()
    _ = transmit.pointee.reclaim(outbound)
    let (finished, pending) = (transmit.pointee.ring.finished, transmit.pointee.ring.pending)
    switch transmit.pointee.watch.look(finished: finished, pending: pending) {
    case .idle:
      device.cancelTimer(Self.watchdog)
      hangsInARow = 0
    case .moving: hangsInARow = 0
    case .stalled(let looks): if looks >= Self.looksToHang, !status.isPaused { try recover(status) }
    }
  }

  /// Resets the controller; the frames that it has are lost.
  private func recover(_ status: AdapterStatus) throws(DriverFailure) {
    let ring = transmit.pointee.ring.pending
    let head = adapter.bar.read(AdapterRegister.transmitHead)
    let tail = adapter.bar.read(AdapterRegister.transmitTail)
    if status.isLinkUp {
      counted[.hangs] += 1
      hangsInARow += 1
      guard hangsInARow <= Self.maximumHangs else {
        throw DriverFailure(.timeout, "the controller sends nothing, also after \(Self.maximumHangs) resets")
      }
      Log.warning("transmit hang: \(ring) frames, head \(head), tail \(tail); resetting the controller")
    } else {
      Log.info("\(ring) frames cannot be sent without a link; dropping them")
    }
    try restart()
  }

  /// Frames are lost, and the controller no longer knows which descriptors it has.
  func resynchronize() throws(DriverFailure) {
    Log.warning("the controller has no buffers and has not filled those it was given; resetting it")
    try restart()
  }

  private func restart() throws(DriverFailure) {
    // What was counted so far is gone with the reset.
    try adapter.addStatistics(to: &counted)
    counted[.resets] += 1
    try adapter.reset(device)
    program()
    transmit.pointee.watch.forgive()
    try checkLink()
  }
}
