import Platform
import Protocol

/// How long it is worthwhile to look on for more, before one sleeps, where the configuration says nothing.
enum LookingOn {
  /// How many times ``WakeUp/cost`` ``network`` is. The answer to a frame comes after the other end's time, in which some
  /// threads here and there are woken.
  static let networkWakeUps: Nanoseconds = 16
  /// How many times ``WakeUp/cost`` ``vhost`` is: it has half of the way to wait for.
  static let vhostWakeUps: Nanoseconds = 8

  /// For a driver of a network device and its broker, in nanoseconds.
  static let network = window(networkWakeUps, cost: WakeUp.cost)

  /// For vhost-net, in nanoseconds.
  static let vhost = window(vhostWakeUps, cost: WakeUp.cost)

  /// For a driver of a disk and its broker, in nanoseconds: the next completion is near or far.
  static let block: Nanoseconds = 50_000

  /// So many times `cost`, both in nanoseconds: in whole 50 µs, of which there is at least one, and at most 5 ms.
  static func window(_ times: Nanoseconds, cost: Nanoseconds) -> Nanoseconds {
    let step: Nanoseconds = 50_000
    // One that takes the most alone is as good as any longer one.
    let product = min(max(cost, 0), 100 * step) * times
    return min(max((product + step / 2) / step, 1), 100) * step
  }
}

extension DeviceClass {
  /// How long driver and broker look on, in nanoseconds.
  public var defaultSpin: Nanoseconds {
    switch self {
    case .block: LookingOn.block
    case .network: LookingOn.network
    }
  }
}
