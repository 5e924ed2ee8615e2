import Glibc

/// The time of day.
enum WallClock {
  /// Seconds since 1970.
  static func seconds() -> Int { time(nil) }
}
