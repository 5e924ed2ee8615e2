import Platform

/// The steps of putting a process in its jail, in order. A failed step ends `bulkhead-jail` with the step's exit status.
public enum ConfinementStep: Int32, CaseIterable, Sendable {
  /// The broker's launch grant did not come, or asks for what no driver gets.
  case grant = 70
  /// The files could not be put at their numbers.
  case files = 71
  /// A resource limit or the OOM score could not be set.
  case limits = 72
  /// The user could not be changed.
  case identity = 73
  /// The namespaces could not be created.
  case namespaces = 74
  /// The empty root could not be made.
  case root = 75
  /// Landlock is there but refused.
  case landlock = 76
  /// Capabilities could not be given up.
  case privileges = 77
  /// The seccomp filter could not be built or installed.
  case seccomp = 78
  /// The driver's executable could not be executed.
  case exec = 79

  /// The code of the step's ``Failure``, such as `jail-namespaces`.
  public var code: String { "jail-\(self)" }

  /// The exit status for `failure`: its step's, or 70 for a failure that came from elsewhere.
  public static func exitStatus(for failure: Failure) -> Int32 {
    (allCases.first { $0.code == failure.code } ?? .grant).rawValue
  }
}
