/// How `bulkhead-jail` is called.
enum JailCommand {
  /// Whom a driver becomes.
  enum User: Equatable {
    /// A user of its own; we are root.
    case of(UInt32)
    /// Nobody else than we are, in a user namespace.
    case ours

    fileprivate var arguments: [String] {
      switch self {
      case .of(let uid): ["--uid", "\(uid)"]
      case .ours: ["--unprivileged"]
      }
    }
  }

  /// Files of the jail's process: its log is file 2, the driver's control socket 3, the executable 4.
  static func files(log: Int32, control: Int32, executable: Int32) -> [Int32] { [-1, -1, log, control, executable] }

  /// - Parameter options: given to the driver as they are.
  static func arguments(_ driver: String, user: User, options: [DeviceSettings.Option]) -> [String] {
    ["bulkhead-jail"] + user.arguments + ["--", driver] + options.map { "\($0.name)=\($0.value)" }
  }
}
