/// The command line of `bulkhead-jail`.
public struct JailArguments: Equatable, Sendable {
  /// What to do.
  public enum Command: Equatable, Sendable {
    case run(JailArguments)
    case printPolicy
  }

  /// What is wrong with a command line, for people.
  public struct Invalid: Error, Equatable, Sendable {
    public let text: String
  }

  /// `EX_USAGE` of sysexits.h.
  public static let usageStatus: Int32 = 64

  public static let usage = """
    usage: bulkhead-jail --uid N|--unprivileged [--memlock BYTES] [--address-space BYTES] [--hostname NAME] -- NAME [ARGUMENT...]
           bulkhead-jail --print-policy
    """

  /// Users below this one belong to the system and to people.
  public static let lowestUser: UInt32 = 1000

  /// The driver's user and group outside the jail; nil: those of the caller, who is not root.
  public var user: UInt32?
  /// Bytes that the driver may lock in memory.
  public var lockedMemory: UInt64 = 0
  /// Bytes of address space; `nil` is no limit.
  public var addressSpace: UInt64?
  public var hostname = "bulkhead"
  /// argv of the driver; its first element is the driver's name.
  public var driver: [String] = []

  init() {}

  /// - Parameter arguments: without the program's own name.
  /// - Throws: ``Invalid``.
  public static func parse(_ arguments: [String]) throws(Invalid) -> Command {
    if arguments == ["--print-policy"] { return .printPolicy }
    var result = JailArguments()
    var seen: Set<String> = []
    var index = 0
    while index < arguments.count, arguments[index] != "--" {
      let option = arguments[index]
      if option == "--unprivileged" {
        guard seen.insert(option).inserted else { throw Invalid(text: "\(option) is given twice") }
        index += 1
        continue
      }
      guard ["--uid", "--memlock", "--address-space", "--hostname"].contains(option) else {
        throw Invalid(text: "unknown option \"\(option)\"")
      }
      guard seen.insert(option).inserted else { throw Invalid(text: "\(option) is given twice") }
      guard index + 1 < arguments.count, arguments[index + 1] != "--" else {
        throw Invalid(text: "\(option) needs a value")
      }
      try result.set(option, arguments[index + 1])
      index += 2
    }
    guard seen.contains("--uid") != seen.contains("--unprivileged") else {
      throw Invalid(text: seen.contains("--uid") ? "--uid and --unprivileged exclude each other" : "--uid is missing")
    }
    guard index < arguments.count else { throw Invalid(text: "-- and the driver's name are missing") }
    result.driver = Array(arguments[(index + 1)...])
    guard let name = result.driver.first, !name.isEmpty else { throw Invalid(text: "the driver's name is missing") }
    return .run(result)
  }

  private mutating func set(_ option: String, _ value: String) throws(Invalid) {
    switch option {
    case "--uid":
      // The last number means "unchanged" to the kernel.
      guard let number = UInt32(value), number >= Self.lowestUser, number < .max else {
        throw Invalid(text: "--uid \"\(value)\" is not a number from \(Self.lowestUser) to \(UInt32.max - 1)")
      }
      user = number
    case "--memlock": lockedMemory = try Self.bytes(option, value)
    case "--address-space":
      addressSpace = try Self.bytes(option, value)
      guard addressSpace != 0 else { throw Invalid(text: "--address-space 0 leaves no room for the driver itself") }
    default:
      let allowed = value.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."):
          true
        default: false
        }
      }
      guard !value.isEmpty, value.utf8.count <= 64, allowed else {
        throw Invalid(text: "--hostname \"\(value)\" is not made of 1 to 64 letters, digits, dots and dashes")
      }
      hostname = value
    }
  }

  private static func bytes(_ option: String, _ value: String) throws(Invalid) -> UInt64 {
    guard let number = UInt64(value) else { throw Invalid(text: "\(option) \"\(value)\" is not a number of bytes") }
    return number
  }
}
