/// Whether a network device still sends what it was given. The driver looks once in ``interval``, and only while frames are
/// on their way: an idle driver has no timer. What is done about a device that stalls is the driver's business.
public struct TransmitWatch: Sendable {
  /// What a look has shown.
  public enum Finding: Equatable, Sendable {
    /// Nothing is left to be sent. The watch has ended, and so should its timer.
    case idle
    /// Frames were finished since the look before.
    case moving
    /// Frames wait, and for so many looks in a row none was finished.
    case stalled(looks: Int)
  }

  /// Time between two looks, in nanoseconds: a second.
  public static let interval: Nanoseconds = 1_000_000_000

  /// Between ``begin(finished:)`` and the look that finds nothing left.
  public private(set) var isRunning = false
  private var finished: UInt64 = 0
  private var looks = 0

  public init() {}

  /// Begins when a frame is given to the device.
  /// - Parameter finished: frames that the device has finished, ever.
  public mutating func begin(finished: UInt64) {
    isRunning = true
    (self.finished, looks) = (finished, 0)
  }

  /// Forgets for how long nothing was sent: the device was reset, or may not send.
  public mutating func forgive() { looks = 0 }

  /// - Parameters:
  ///   - finished: frames that the device has finished, ever.
  ///   - pending: frames that it has not.
  public mutating func look(finished: UInt64, pending: Int) -> Finding {
    guard pending > 0 else {
      isRunning = false
      return .idle
    }
    guard finished == self.finished else {
      (self.finished, looks) = (finished, 0)
      return .moving
    }
    looks += 1
    return .stalled(looks: looks)
  }
}
