/// Why a driver cannot go on. The broker is told, the process ends, and the supervisor decides what follows.
public struct DriverFailure: Error, Equatable, Sendable, CustomStringConvertible {
  public var code: FailureCode
  /// The step that failed and what was seen, for people; at most 200 bytes reach the broker.
  public var detail: String
  /// The kernel's error number where it was the kernel that refused, otherwise 0.
  public var errno: UInt16
  /// The device's own status where there is one (NVMe: the status field of a completion, or CSTS).
  public var deviceStatus: UInt32
  /// The broker has closed the conversation: there is nobody left to be told.
  var isHangUp = false

  public init(_ code: FailureCode, _ detail: String, errno: UInt16 = 0, deviceStatus: UInt32 = 0) {
    self.code = code
    self.detail = detail
    self.errno = errno
    self.deviceStatus = deviceStatus
  }

  static var hangUp: DriverFailure {
    var failure = DriverFailure(.protocolError, "the broker closed the conversation")
    failure.isHangUp = true
    return failure
  }

  public var description: String {
    var text = "\(code): \(detail)"
    if errno != 0 { text += " (\(Failure.name(of: Int32(errno))))" }
    if deviceStatus != 0 { text += " (device status 0x\(String(deviceStatus, radix: 16)))" }
    return text
  }
}
