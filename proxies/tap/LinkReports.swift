import Platform
import Protocol

/// Decides which states of a port's link the supervisor hears of.
///
/// A change is told at once where none was for a while, else when that while is over: the last state then, if it is
/// another one than was told. So a link that never rests writes a few lines a second, whoever makes it do so, and what was
/// told last is true soon.
struct LinkReports {
  /// The least time between two changes that are told.
  static let interval: Nanoseconds = 100_000_000

  /// What the supervisor believes.
  private(set) var told = NetworkLink.down
  private var lastTold: Nanoseconds?

  /// What is to be done about a link's present state.
  enum Step: Equatable {
    case nothing
    case tell(NetworkLink)
    /// Ask again after this time.
    case wait(Nanoseconds)
  }

  mutating func step(_ link: NetworkLink, now: Nanoseconds) -> Step {
    guard link != told else { return .nothing }
    if let lastTold, now - lastTold < Self.interval { return .wait(Self.interval - (now - lastTold)) }
    return .tell(tell(link, now: now))
  }

  /// The driver is gone: that is told at once, as the last word on its link.
  mutating func end(now: Nanoseconds) -> NetworkLink? { told == .down ? nil : tell(.down, now: now) }

  private mutating func tell(_ link: NetworkLink, now: Nanoseconds) -> NetworkLink {
    told = link
    lastTold = now
    return link
  }
}
