/// How `bulkhead-jail` is called.
enum JailCommand {
  /// Files of the jail's process: its log is file 2, the driver's control socket 3, the executable 4.
  static func files(log: Int32, control: Int32, executable: Int32) -> [Int32] { [-1, -1, log, control, executable] }

  /// - Parameters:
  ///   - uid: the user that the driver becomes.
  ///   - options: given to the driver as they are.
  static func arguments(_ driver: String, uid: UInt32, options: [DeviceSettings.Option]) -> [String] {
    ["bulkhead-jail", "--uid", "\(uid)", "--", driver] + options.map { "\($0.name)=\($0.value)" }
  }
}
