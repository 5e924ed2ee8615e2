import Platform

/// What a campaign has seen.
public struct CampaignSummary: Sendable {
  public var operations: [Operation.Kind: UInt64] = [:]
  public var forced: UInt64 = 0
  /// Error values and how often they came.
  public var errors: [UInt32: UInt64] = [:]
  /// Operations whose connection was lost.
  public var unknown: UInt64 = 0
  public var disconnects = 0
  public var attacks: [Assailant.Attack: Int] = [:]
  /// Nanoseconds.
  public var recoveries: [Nanoseconds] = []
  public var verifications = 0
  public var sectorsChecked: UInt64 = 0
  public var violations: [Violation] = []
  public var violationCount = 0
  public var seconds = 0.0

  public init() {}

  mutating func count(_ operation: Operation) {
    operations[operation.kind, default: 0] += 1
    if operation.forceUnitAccess { forced += 1 }
  }

  /// One line of JSON.
  /// - Parameter failure: why the campaign ended early.
  public func json(seed: UInt64, failure: Failure?) -> String {
    var members: [String] = ["\"seed\":\(seed)"]
    for kind in Operation.Kind.allCases { members.append("\"\(kind)\":\(operations[kind] ?? 0)") }
    members.append("\"forced\":\(forced)")
    for attack in Assailant.Attack.allCases { members.append("\"\(attack.rawValue)s\":\(attacks[attack] ?? 0)") }
    members.append("\"verifications\":\(verifications)")
    members.append("\"sectorsChecked\":\(sectorsChecked)")
    members.append("\"disconnects\":\(disconnects)")
    members.append("\"unknown\":\(unknown)")
    let codes = errors.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }
    members.append("\"ioErrors\":{\(codes.joined(separator: ","))}")
    let sorted = recoveries.sorted()
    if let first = sorted.first, let last = sorted.last {
      members.append(
        "\"recoveryMilliseconds\":{\"min\":\(first / 1_000_000),\"median\":\(sorted[sorted.count / 2] / 1_000_000),"
          + "\"max\":\(last / 1_000_000)}")
    }
    members.append("\"seconds\":\(Double(Int(seconds * 100)) / 100)")
    members.append("\"violationCount\":\(violationCount)")
    members.append("\"violations\":[\(violations.map(Self.json).joined(separator: ","))]")
    members.append("\"failure\":\(failure.map { Self.quoted("\($0)") } ?? "null")")
    return "{\(members.joined(separator: ","))}"
  }

  private static func json(_ violation: Violation) -> String {
    let expected = violation.expected.map(quoted).joined(separator: ",")
    return
      "{\"kind\":\"\(violation.kind.rawValue)\",\"sector\":\(violation.sector),\"found\":\(quoted(violation.found)),"
      + "\"expected\":[\(expected)]}"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
